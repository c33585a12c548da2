package ftgo

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tidings.example/examples/shared/sampletest"
	"tidings.example/examples/shared/web"
)

// TestEveryRequest goes through the table of requests in the README.
func TestEveryRequest(t *testing.T) {
	t.Parallel()
	r := startAll(t)

	a := r.Request("POST", "/consumers", `{"name":{"firstName":"Ada","lastName":"Lovelace"},"spendingLimit":{"amount":"50"}}`)
	ada := sampletest.Decode[map[string]string](t, a)["consumerId"]
	if a.Status != 201 || ada == "" || a.Header.Get("Location") != "/consumers/"+ada {
		t.Fatalf("POST /consumers: %d %v %s", a.Status, a.Header, a.Body)
	}
	consumer := `{"consumerId":"` + ada + `","name":{"firstName":"Ada","lastName":"Lovelace"},"spendingLimit":{"amount":50}}`
	sampletest.WantJSON(t, r.Request("GET", "/consumers/"+ada, ""), 200, consumer)
	sampletest.WantJSON(t, r.Request("GET", "/consumers", ""), 200, `{"consumers":[`+consumer+`]}`)

	menu := `"menu":{"menuItems":[{"id":"2","name":"Vindaloo","price":{"amount":12.34}},{"id":"1","name":"Naan","price":{"amount":2.5}}]}}`
	a = r.Request("POST", "/restaurants", `{"name":"Ajanta","address":{"street":"1 Main Street","city":"Oakland"},`+menu)
	ajanta := sampletest.Decode[map[string]string](t, a)["restaurantId"]
	if a.Status != 201 || ajanta == "" || a.Header.Get("Location") != "/restaurants/"+ajanta || sampletest.Decode[map[string]string](t, a)["id"] != ajanta {
		t.Fatalf("POST /restaurants: %d %v %s", a.Status, a.Header, a.Body)
	}
	summary := `{"restaurantId":"` + ajanta + `","name":"Ajanta","address":{"city":"Oakland","street":"1 Main Street"}`
	sampletest.WantJSON(t, r.Request("GET", "/restaurants/"+ajanta, ""), 200, summary+","+menu)
	sampletest.WantJSON(t, r.Request("GET", "/restaurants", ""), 200, `{"restaurants":[`+summary+`}]}`)

	a = r.Request("POST", "/orders", orderBody(ada, ajanta, "2", 4))
	order := sampletest.Decode[map[string]string](t, a)["orderId"]
	if a.Status != 201 || order == "" || a.Header.Get("Location") != "/orders/"+order {
		t.Fatalf("POST /orders: %d %v %s", a.Status, a.Header, a.Body)
	}
	r.wantSettled(order, "VALIDATED <nil> 49.36")
	whole := `{"orderId":"` + order + `","consumerId":"` + ada + `","restaurantId":"` + ajanta +
		`","lineItems":[{"menuItemId":"2","quantity":4}],"state":"VALIDATED","orderTotal":{"amount":49.36},"rejectionReason":null}`
	sampletest.WantJSON(t, r.Request("GET", "/orders/"+order, ""), 200, whole)
	sampletest.WantJSON(t, r.Request("GET", "/orders", ""), 200, `{"orders":[`+whole+`]}`)

	for path, part := range map[string]string{"/healthz": `"ok"`, "/readyz": `"ready":true`, "/metrics": "tidings_inbox_"} {
		if a := r.Request("GET", path, ""); a.Status != 200 || !strings.Contains(string(a.Body), part) {
			t.Errorf("GET %s: %d, and %q is not in it:\n%.600s", path, a.Status, part, a.Body)
		}
	}
}

// TestReasons: each order is rejected for what is wrong with it; of several things it is always the same.
func TestReasons(t *testing.T) {
	t.Parallel()
	r := startAll(t)
	ada, ajanta := r.createConsumer("12.34"), r.createRestaurant()
	for _, c := range []struct {
		consumer, restaurant, item string
		quantity                   int
		want                       string
	}{
		{ada, ajanta, "vindaloo", 1, "VALIDATED <nil> 12.34"},
		{ada, ajanta, "naan", 5, "REJECTED SPENDING_LIMIT_EXCEEDED 12.5"},
		{"nobody", ajanta, "naan", 1, "REJECTED CONSUMER_NOT_FOUND 2.5"},
		{ada, "nowhere", "naan", 1, "REJECTED RESTAURANT_NOT_FOUND <nil>"},
		{ada, ajanta, "tikka", 1, "REJECTED MENU_ITEM_NOT_FOUND <nil>"},
		{"nobody", "nowhere", "naan", 1, "REJECTED CONSUMER_NOT_FOUND <nil>"},
		{"nobody", ajanta, "tikka", 1, "REJECTED CONSUMER_NOT_FOUND <nil>"},
	} {
		r.wantSettled(r.createOrder(c.consumer, c.restaurant, c.item, c.quantity), c.want)
	}
	gold := r.Create("/restaurants", `{"name":"Gold","address":"1 Main Street","menu":{"menuItems":[`+
		`{"id":"gold","name":"Gold","price":{"amount":999999999999.99}}]}}`, "restaurantId")
	r.wantSettled(r.createOrder(ada, gold, "gold", 1000), "REJECTED ORDER_TOTAL_TOO_LARGE <nil>")
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	r := startAll(t)
	const (
		order      = `{"consumerId":"c","restaurantId":"r","lineItems":%s}`
		consumer   = `{"name":{"firstName":%s,"lastName":"Lovelace"},"spendingLimit":{"amount":%s}}`
		restaurant = `{"name":"Ajanta","address":%s,"menu":{"menuItems":[%s]}}`
		item       = `{"id":"1","name":"Naan","price":{"amount":2.5}}`
	)
	for _, c := range []struct {
		method, path, body string
		status             int
		field              string
	}{
		{"POST", "/orders", fmt.Sprintf(order, `[]`), 400, "lineItems"},
		{"POST", "/orders", fmt.Sprintf(order, `{}`), 400, "lineItems"},
		{"POST", "/orders", fmt.Sprintf(order, `[{"menuItemId":"1"}]`), 400, "lineItems[0].quantity"},
		{"POST", "/orders", fmt.Sprintf(order, `[{"menuItemId":"1","quantity":1},{"menuItemId":"1","quantity":0}]`), 400, "lineItems[1].quantity"},
		{"POST", "/orders", fmt.Sprintf(order, `[{"menuItemId":"1","quantity":-1}]`), 400, "lineItems[0].quantity"},
		{"POST", "/orders", fmt.Sprintf(order, `[{"menuItemId":"1","quantity":1.5}]`), 400, "lineItems[0].quantity"},
		{"POST", "/orders", fmt.Sprintf(order, `[{"menuItemId":"1","quantity":1001}]`), 400, "lineItems[0].quantity"},
		{"POST", "/orders", fmt.Sprintf(order, `[{"menuItemId":"1","quantity":1,"price":0}]`), 400, "lineItems[0].price"},
		{"POST", "/orders", fmt.Sprintf(order, `[{"menuItemId":"a b","quantity":1}]`), 400, "lineItems[0].menuItemId"},
		{"POST", "/orders", fmt.Sprintf(order, `[`+strings.Repeat(`{"menuItemId":"1","quantity":1},`, 100)+`{"menuItemId":"1","quantity":1}]`), 400, "lineItems"},
		{"POST", "/orders", `{"restaurantId":"r","lineItems":[{"menuItemId":"1","quantity":1}]}`, 400, "consumerId"},
		{"POST", "/orders", `{"consumerId":"c","lineItems":[{"menuItemId":"1","quantity":1}]}`, 400, "restaurantId"},
		{"POST", "/orders", `{"consumerId":"c","restaurantId":"r"}`, 400, "lineItems"},
		{"POST", "/orders", `[]`, 400, ""},
		{"POST", "/orders", `{"consumerId":"` + strings.Repeat("x", web.MaxBody) + `"}`, 413, ""},
		{"POST", "/consumers", fmt.Sprintf(consumer, `""`, "1"), 400, "name.firstName"},
		{"POST", "/consumers", fmt.Sprintf(consumer, `7`, "1"), 400, "name.firstName"},
		{"POST", "/consumers", fmt.Sprintf(consumer, `"Ada"`, "0"), 400, "spendingLimit.amount"},
		{"POST", "/consumers", fmt.Sprintf(consumer, `"Ada"`, "-1"), 400, "spendingLimit.amount"},
		{"POST", "/consumers", fmt.Sprintf(consumer, `"Ada"`, "0.001"), 400, "spendingLimit.amount"},
		{"POST", "/consumers", fmt.Sprintf(consumer, `"Ada"`, `"a lot"`), 400, "spendingLimit.amount"},
		{"POST", "/consumers", `{"name":"Ada","spendingLimit":{"amount":1}}`, 400, "name"},
		{"POST", "/consumers", `{"name":{"firstName":"Ada"},"spendingLimit":{"amount":1}}`, 400, "name.lastName"},
		{"POST", "/restaurants", fmt.Sprintf(restaurant, `""`, item), 400, "address"},
		{"POST", "/restaurants", fmt.Sprintf(restaurant, `{"street":7}`, item), 400, "address.street"},
		{"POST", "/restaurants", fmt.Sprintf(restaurant, `"a"`, ""), 400, "menu.menuItems"},
		{"POST", "/restaurants", fmt.Sprintf(restaurant, `"a"`, item+","+item), 400, "menu.menuItems[1].id"},
		{"POST", "/restaurants", fmt.Sprintf(restaurant, `"a"`, `{"id":"1","name":"Naan","price":{"amount":0}}`), 400, "menu.menuItems[0].price.amount"},
		{"POST", "/restaurants", fmt.Sprintf(restaurant, `"a"`, `{"id":"1","name":"Naan","price":2.5}`), 400, "menu.menuItems[0].price"},
		{"POST", "/restaurants", `{"name":"Ajanta","address":"a"}`, 400, "menu"},
		{"GET", "/orders?limit=0", "", 400, "limit"},
		{"GET", "/consumers?limit=1001", "", 400, "limit"},
		{"GET", "/restaurants?after=%00", "", 400, "after"},
		{"GET", "/orders/unknown", "", 404, ""},
		{"GET", "/orders/%00", "", 404, ""},
		{"GET", "/consumers/unknown", "", 404, ""},
		{"GET", "/consumers/a%20b", "", 404, ""},
		{"GET", "/restaurants/unknown", "", 404, ""},
		{"GET", "/restaurants/%ff", "", 404, ""},
		{"GET", "/", "", 404, ""},
		{"GET", "/nowhere", "", 404, ""},
		{"DELETE", "/orders/1", "", 405, ""},
		{"PUT", "/restaurants", "", 405, ""},
	} {
		sampletest.WantProblem(t, r.Request(c.method, c.path, c.body), c.status, c.field)
	}
	good := fmt.Sprintf(order, `[{"menuItemId":"1","quantity":1}]`)
	sampletest.WantProblem(t, r.RequestWith("POST", "/orders", good, http.Header{"Content-Type": {"text/plain"}}), 415, "")
	sampletest.WantProblem(t, r.RequestWith("POST", "/orders", good, http.Header{"Sec-Fetch-Site": {"cross-site"}}), 403, "")
}
