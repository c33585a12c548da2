package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tidings.example/examples/shared/money"
)

type basket struct {
	place json.RawMessage
	items []*item
}

type item struct {
	id    string
	count int
	price money.Money
}

func readBasket(body string) (b basket, err error) {
	r := httptest.NewRequest(http.MethodPost, "/baskets", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	err = ReadObject(httptest.NewRecorder(), r, TextOrParts("place", &b.place, 20), Object("basket", List("items", 3, func() []Member {
		i := &item{}
		b.items = append(b.items, i)
		return []Member{ID("id", &i.id), Count("count", &i.count, 9), AmountOrText("price", &i.price)}
	})))
	return b, err
}

const oneItem = `{"id":"a","count":2,"price":{"amount":"1.50"}}`

func TestNested(t *testing.T) {
	t.Parallel()
	b, err := readBasket(`{"place":{"zip":"94612","city":" Oakland "},"basket":{"items":[` + oneItem + `,{"price":{"amount":3},"count":9,"id":"b"}]}}`)
	if err != nil || string(b.place) != `{"city":"Oakland","zip":"94612"}` || len(b.items) != 2 ||
		*b.items[0] != (item{"a", 2, 150}) || *b.items[1] != (item{"b", 9, 300}) {
		t.Errorf("read %s %v, %v", b.place, b.items, err)
	}
	if b, err := readBasket(`{"place":"1 \"High\" Street","basket":{"items":[` + oneItem + `]}}`); err != nil || string(b.place) != `"1 \"High\" Street"` {
		t.Errorf("read %s, %v", b.place, err)
	}
}

func TestNestedProblems(t *testing.T) {
	t.Parallel()
	items := func(s string) string { return `{"place":"p","basket":{"items":` + s + `}}` }
	place := func(s string) string { return `{"place":` + s + `,"basket":{"items":[` + oneItem + `]}}` }
	for _, c := range []struct{ body, field string }{
		{items(`[]`), "basket.items"},
		{items(`{}`), "basket.items"},
		{items(`null`), "basket.items"},
		{items(`[1]`), "basket.items[0]"},
		{items(`[[` + oneItem + `]]`), "basket.items[0]"},
		{items(`[` + oneItem + `,{"id":"b"}]`), "basket.items[1].count"},
		{items(`[` + strings.Repeat(oneItem+",", 3) + oneItem + `]`), "basket.items"},
		{items(`[` + strings.Replace(oneItem, "2", "0", 1) + `]`), "basket.items[0].count"},
		{items(`[` + strings.Replace(oneItem, "2", "10", 1) + `]`), "basket.items[0].count"},
		{items(`[` + strings.Replace(oneItem, "2", "2.0", 1) + `]`), "basket.items[0].count"},
		{items(`[` + strings.Replace(oneItem, "2", `"2"`, 1) + `]`), "basket.items[0].count"},
		{items(`[` + strings.Replace(oneItem, "1.50", "", 1) + `]`), "basket.items[0].price.amount"},
		{items(`[` + strings.Replace(oneItem, "1.50", "0.00", 1) + `]`), "basket.items[0].price.amount"},
		{items(`[` + strings.Replace(oneItem, "1.50", "-1", 1) + `]`), "basket.items[0].price.amount"},
		{items(`[` + strings.Replace(oneItem, "1.50", "\\\"1\\\"", 1) + `]`), "basket.items[0].price.amount"},
		{place(`""`), "place"},
		{place(`7`), "place"},
		{place(`[]`), "place"},
		{place(`{}`), "place"},
		{place(`{"a":1}`), "place.a"},
		{place(`{"a":"b","a":"c"}`), "place.a"},
		{place(`{"a":{"b":"c"}}`), "place.a"},
		{items(`[`), "basket.items"},
	} {
		_, err := readBasket(c.body)
		p, ok := errors.AsType[*Problem](err)
		if !ok || p.Status != 400 || p.Field != c.field {
			t.Errorf("%s: %v, want a problem with %q", c.body, err, c.field)
		}
	}
}

// FuzzNested: whatever is sent, it is a whole basket or a problem for the client.
func FuzzNested(f *testing.F) {
	f.Add(`{"place":"p","basket":{"items":[` + oneItem + `]}}`)
	f.Add(`{"place":{"a":"b"},"basket":{"items":[{}]}}`)
	f.Add(`{"place":{"a":"b","A":"c"},"basket":{"items":[[]]}}`)
	f.Fuzz(func(t *testing.T, body string) {
		b, err := readBasket(body)
		if err != nil {
			if p, ok := errors.AsType[*Problem](err); !ok || p.Status < 400 || p.Status > 499 {
				t.Fatalf("%q: %v is no problem for a client", body, err)
			}
			return
		}
		if !json.Valid(b.place) || len(b.items) < 1 || len(b.items) > 3 {
			t.Fatalf("%q became %s", body, fmt.Sprint(b))
		}
		for _, i := range b.items {
			if !ValidID(i.id) || i.count < 1 || i.count > 9 || i.price <= 0 || i.price > money.Max {
				t.Fatalf("%q has item %v", body, *i)
			}
		}
	})
}
