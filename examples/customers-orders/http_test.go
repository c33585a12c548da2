package customersorders

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
	for style, design := range styles {
		t.Run(style, func(t *testing.T) {
			t.Parallel()
			r := startAll(t, design)

			a := r.Request("POST", "/customers", `{"name":"Ada","creditLimit":{"amount":100}}`)
			ada := sampletest.Decode[map[string]string](t, a)["customerId"]
			if a.Status != 201 || ada == "" || a.Header.Get("Location") != "/customers/"+ada || a.Header.Get("Content-Type") != "application/json" {
				t.Fatalf("POST /customers: %d %v %s", a.Status, a.Header, a.Body)
			}
			sampletest.WantJSON(t, r.Request("GET", a.Header.Get("Location"), ""), 200,
				`{"customerId":"`+ada+`","name":"Ada","creditLimit":{"amount":100},"availableCredit":{"amount":100}}`)
			sampletest.WantJSON(t, r.Request("GET", "/customers", ""), 200,
				`{"customers":[{"customerId":"`+ada+`","name":"Ada","creditLimit":{"amount":100},"availableCredit":{"amount":100}}]}`)
			sampletest.WantJSON(t, r.Request("GET", "/orders", ""), 200, `{"orders":[]}`)

			a = r.Request("POST", "/orders", `{"customerId":"`+ada+`","orderTotal":{"amount":12.34}}`)
			approved := sampletest.Decode[map[string]string](t, a)["orderId"]
			if a.Status != 201 || approved == "" || a.Header.Get("Location") != "/orders/"+approved {
				t.Fatalf("POST /orders: %d %v %s", a.Status, a.Header, a.Body)
			}
			r.waitState(approved, "APPROVED")
			sampletest.WantJSON(t, r.Request("GET", "/orders/"+approved, ""), 200,
				`{"orderId":"`+approved+`","customerId":"`+ada+`","orderState":"APPROVED","orderTotal":{"amount":12.34}}`)
			r.waitAvailable(ada, "87.66")

			tooMuch := r.createOrder(ada, "87.67")
			if o := r.waitState(tooMuch, "CANCELLED"); o["cancellationReason"] != "CREDIT_LIMIT_EXCEEDED" {
				t.Errorf("an order over the limit: %v", o)
			}
			nobodys := r.createOrder("no-such-customer", "1")
			if o := r.waitState(nobodys, "CANCELLED"); o["cancellationReason"] != "CUSTOMER_NOT_FOUND" {
				t.Errorf("an order of nobody: %v", o)
			}

			sampletest.WantJSON(t, r.Request("POST", "/orders/"+approved+"/cancel", ""), 200,
				`{"orderId":"`+approved+`","customerId":"`+ada+`","orderState":"CANCELLED","orderTotal":{"amount":12.34},"cancellationReason":"BY_CUSTOMER"}`)
			sampletest.WantProblem(t, r.Request("POST", "/orders/"+approved+"/cancel", "{}"), 409, "")
			sampletest.WantProblem(t, r.Request("POST", "/orders/"+tooMuch+"/cancel", ""), 409, "")
			r.waitAvailable(ada, "100")

			sampletest.WaitFor(t, func() error {
				a := r.Request("GET", "/customers/"+ada+"/orderhistory", "")
				want := `{"customerId":"` + ada + `","name":"Ada","creditLimit":{"amount":100},"orders":[` +
					`{"orderId":"` + tooMuch + `","orderState":"CANCELLED","orderTotal":{"amount":87.67},"cancellationReason":"CREDIT_LIMIT_EXCEEDED"},` +
					`{"orderId":"` + approved + `","orderState":"CANCELLED","orderTotal":{"amount":12.34},"cancellationReason":"BY_CUSTOMER"}]}`
				if got := strings.TrimSpace(string(a.Body)); got != want {
					return fmt.Errorf("history is %d %s\nwant %s", a.Status, got, want)
				}
				return nil
			})

			for path, part := range map[string]string{"/healthz": `"ok"`, "/readyz": `"ready":true`, "/metrics": "tidings_inbox_", "/": "<title>Customers and orders</title>"} {
				if a := r.Request("GET", path, ""); a.Status != 200 || !strings.Contains(string(a.Body), part) {
					t.Errorf("GET %s: %d, and %q is not in it:\n%.600s", path, a.Status, part, a.Body)
				}
			}
		})
	}
}

// TestPendingOrderCannotBeCancelled stops the relays, so that an order stays pending.
func TestPendingOrderCannotBeCancelled(t *testing.T) {
	t.Parallel()
	s := sampletest.NewServers(t)
	r := start(t, Design, Config{Processes: []string{Orders, Gateway}, WithoutRelays: true, Broker: s.Broker(),
		Databases: s.Databases(Orders), Addrs: map[string]string{Gateway: "127.0.0.1:0", Customers: sampletest.FreeAddr(t), History: sampletest.FreeAddr(t)}},
		Customers, History)
	order := r.createOrder("somebody", "5")
	sampletest.WantProblem(t, r.Request("POST", "/orders/"+order+"/cancel", ""), 409, "")
	if o := r.Get("/orders/" + order); o["orderState"] != "PENDING" || o["cancellationReason"] != nil {
		t.Errorf("the order is %v", o)
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	r := startAll(t, Design)
	const order, customer = `{"customerId":"c","orderTotal":{"amount":%s}}`, `{"name":"Ada","creditLimit":{"amount":%s}}`
	long := strings.Repeat("x", web.MaxBody)
	for _, c := range []struct {
		method, path, body string
		status             int
		field              string
	}{
		{"POST", "/orders", fmt.Sprintf(order, "-1"), 400, "orderTotal.amount"},
		{"POST", "/orders", fmt.Sprintf(order, "0"), 400, "orderTotal.amount"},
		{"POST", "/orders", fmt.Sprintf(order, "-0.00"), 400, "orderTotal.amount"},
		{"POST", "/orders", fmt.Sprintf(order, "NaN"), 400, "orderTotal.amount"},
		{"POST", "/orders", fmt.Sprintf(order, "Infinity"), 400, "orderTotal.amount"},
		{"POST", "/orders", fmt.Sprintf(order, `"12.34"`), 400, "orderTotal.amount"},
		{"POST", "/orders", fmt.Sprintf(order, "null"), 400, "orderTotal.amount"},
		{"POST", "/orders", fmt.Sprintf(order, "true"), 400, "orderTotal.amount"},
		{"POST", "/orders", fmt.Sprintf(order, "[1]"), 400, "orderTotal.amount"},
		{"POST", "/orders", fmt.Sprintf(order, "12.345"), 400, "orderTotal.amount"},
		{"POST", "/orders", fmt.Sprintf(order, "1e-3"), 400, "orderTotal.amount"},
		{"POST", "/orders", fmt.Sprintf(order, "12345678901234567890"), 400, "orderTotal.amount"},
		{"POST", "/orders", fmt.Sprintf(order, "1e400"), 400, "orderTotal.amount"},
		{"POST", "/orders", fmt.Sprintf(order, "012"), 400, "orderTotal.amount"},
		{"POST", "/orders", fmt.Sprintf(order, `1,"currency":"EUR"`), 400, "orderTotal.currency"},
		{"POST", "/orders", fmt.Sprintf(order, `1,"amount":2`), 400, "orderTotal.amount"},
		{"POST", "/orders", `{"customerId":"c","orderTotal":{}}`, 400, "orderTotal.amount"},
		{"POST", "/orders", `{"customerId":"c","orderTotal":12.34}`, 400, "orderTotal"},
		{"POST", "/orders", `{"customerId":"c"}`, 400, "orderTotal"},
		{"POST", "/orders", `{"orderTotal":{"amount":1}}`, 400, "customerId"},
		{"POST", "/orders", `{"customerId":7,"orderTotal":{"amount":1}}`, 400, "customerId"},
		{"POST", "/orders", `{"customerId":"","orderTotal":{"amount":1}}`, 400, "customerId"},
		{"POST", "/orders", `{"customerId":"a b","orderTotal":{"amount":1}}`, 400, "customerId"},
		{"POST", "/orders", `{"customerId":"` + strings.Repeat("x", 65) + `","orderTotal":{"amount":1}}`, 400, "customerId"},
		{"POST", "/orders", `{"CustomerID":"c","orderTotal":{"amount":1}}`, 400, "CustomerID"},
		{"POST", "/orders", `{"customerId":"c","orderTotal":{"amount":1},"state":"APPROVED"}`, 400, "state"},
		{"POST", "/orders", `{"customerId":"c","customerId":"d","orderTotal":{"amount":1}}`, 400, "customerId"},
		{"POST", "/orders", `{"customerId":"c","orderTotal":{"amount":1}`, 400, ""},
		{"POST", "/orders", `{"customerId":"c","orderTotal":{"amount":1}} {}`, 400, ""},
		{"POST", "/orders", `[]`, 400, ""},
		{"POST", "/orders", ` `, 400, ""},
		{"POST", "/orders", "{\"customerId\":\"\xff\",\"orderTotal\":{\"amount\":1}}", 400, ""},
		{"POST", "/orders", `{"customerId":"` + long + `"}`, 413, ""},
		{"POST", "/customers", fmt.Sprintf(customer, "-5"), 400, "creditLimit.amount"},
		{"POST", "/customers", fmt.Sprintf(customer, "0"), 400, "creditLimit.amount"},
		{"POST", "/customers", fmt.Sprintf(customer, "1000000000000"), 400, "creditLimit.amount"},
		{"POST", "/customers", `{"name":"","creditLimit":{"amount":1}}`, 400, "name"},
		{"POST", "/customers", `{"name":"  ","creditLimit":{"amount":1}}`, 400, "name"},
		{"POST", "/customers", `{"name":null,"creditLimit":{"amount":1}}`, 400, "name"},
		{"POST", "/customers", `{"name":"a\u0000b","creditLimit":{"amount":1}}`, 400, "name"},
		{"POST", "/customers", `{"name":"` + strings.Repeat("é", 201) + `","creditLimit":{"amount":1}}`, 400, "name"},
		{"GET", "/orders?limit=0", "", 400, "limit"},
		{"GET", "/orders?limit=1001", "", 400, "limit"},
		{"GET", "/orders?limit=ten", "", 400, "limit"},
		{"GET", "/orders?after=%00", "", 400, "after"},
		{"GET", "/customers?limit=-1", "", 400, "limit"},
		{"GET", "/customers/c/orderhistory?limit=-1", "", 400, "limit"},
		{"GET", "/orders?a=%zz", "", 400, ""},
		{"GET", "/orders/unknown", "", 404, ""},
		{"GET", "/orders/%00", "", 404, ""},
		{"GET", "/orders/", "", 404, ""},
		{"POST", "/orders/unknown/cancel", "", 404, ""},
		{"POST", "/orders/unknown/cancel", `{"why":1}`, 400, "why"},
		{"GET", "/customers/unknown", "", 404, ""},
		{"GET", "/customers/unknown/orderhistory", "", 404, ""},
		{"GET", "/nowhere", "", 404, ""},
	} {
		sampletest.WantProblem(t, r.Request(c.method, c.path, c.body), c.status, c.field)
	}

	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset"} {
		a := r.RequestWith("POST", "/orders", fmt.Sprintf(order, "1"), http.Header{"Content-Type": {kind}})
		sampletest.WantProblem(t, a, 415, "")
	}
	if a := r.RequestWith("POST", "/orders", fmt.Sprintf(order, "1"), http.Header{"Content-Type": {"application/json; charset=utf-8"}}); a.Status != 201 {
		t.Errorf("JSON with a charset: %d %s", a.Status, a.Body)
	}
	for path, allowed := range map[string]string{
		"/orders": "GET, HEAD, OPTIONS, POST", "/orders/1": "GET, HEAD, OPTIONS", "/orders/1/cancel": "OPTIONS, POST",
		"/customers": "GET, HEAD, OPTIONS, POST", "/customers/1": "GET, HEAD, OPTIONS", "/customers/1/orderhistory": "GET, HEAD, OPTIONS",
		"/": "GET, HEAD, OPTIONS", "/events": "GET, HEAD, OPTIONS",
	} {
		a := r.Request("DELETE", path, "")
		sampletest.WantProblem(t, a, 405, "")
		if got := a.Header.Get("Allow"); got != allowed {
			t.Errorf("DELETE %s allows %q, want %q", path, got, allowed)
		}
	}
	a := r.RequestWith("POST", "/orders/1/cancel", "", http.Header{"Sec-Fetch-Site": {"cross-site"}})
	sampletest.WantProblem(t, a, 403, "")
}

// TestPages walks through lists page by page, newest first.
func TestPages(t *testing.T) {
	t.Parallel()
	r := startAll(t, Design)
	customer := r.createCustomer("Ada", "1000000")
	var want []string
	for i := range 105 {
		want = append([]string{r.createOrder(customer, fmt.Sprint(i+1))}, want...)
	}
	sampletest.WaitFor(t, func() error {
		h := r.Get("/customers/" + customer + "/orderhistory?limit=1000")
		if all := h["orders"].([]any); len(all) != len(want) {
			return fmt.Errorf("the history has %d orders, want %d", len(all), len(want))
		}
		return nil
	})
	for path, pages := range map[string][]int{
		"/orders": {100, 5}, "/orders?limit=50": {50, 50, 5}, "/orders?limit=105": {105}, "/orders?limit=1000": {105},
		"/customers/" + customer + "/orderhistory?limit=60": {60, 45},
	} {
		var got []string
		next := path
		for i, size := range pages {
			a := r.Request("GET", next, "")
			page := sampletest.Decode[sampletest.Document](t, a)
			if all := page["orders"].([]any); len(all) != size {
				t.Fatalf("page %d of %s has %d orders, want %d", i+1, path, len(all), size)
			}
			for _, o := range page["orders"].([]any) {
				got = append(got, o.(sampletest.Document)["orderId"].(string))
			}
			next, _ = page["next"].(string)
			if last := i == len(pages)-1; last != (next == "") {
				t.Fatalf("page %d of %s has next %q", i+1, path, next)
			}
			if link := a.Header.Get("Link"); next != "" && link != "<"+next+`>; rel="next"` {
				t.Errorf("page %d of %s has Link %q", i+1, path, link)
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("the pages of %s are not the orders, newest first", path)
		}
	}
	second := r.createCustomer("Bob", "1")
	page := r.Get("/customers?limit=1")
	if first := page["customers"].([]any)[0].(sampletest.Document)["customerId"]; first != second || page["next"] != "/customers?after="+second+"&limit=1" {
		t.Errorf("the first page of customers is %v", page)
	}
}
