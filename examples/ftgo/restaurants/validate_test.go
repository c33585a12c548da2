package restaurants

import (
	"encoding/json"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"tidings.example/command"
	"tidings.example/examples/ftgo/messages"
	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/sampletest"
)

func TestValidateOrderDetails(t *testing.T) {
	t.Parallel()
	db := sampletest.Database(t, Name, migrations)
	sent := sampletest.Record(&db)
	s, names := &restaurants{store{db}}, messages.Names{}
	ajanta := Restaurant{Summary: Summary{Name: "Ajanta", Address: json.RawMessage(`"1 Main Street"`)},
		Menu: Menu{[]MenuItem{{"v", "Vindaloo", 12_34}, {"n", "Naan", 2_50}, {"gold", "Gold", money.Max}}}}
	if err := s.create(t.Context(), &ajanta); err != nil {
		t.Fatal(err)
	}
	ask := func(restaurant string, items ...messages.LineItem) command.Replied {
		t.Helper()
		r, err := sampletest.Ask(db, sent, s.receiver(names), names.Restaurants(),
			messages.ValidateOrderDetails{OrderID: "order-1", RestaurantID: restaurant, LineItems: items})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range []struct {
		items []messages.LineItem
		total money.Money
	}{
		{[]messages.LineItem{{MenuItemID: "v", Quantity: 1}}, 12_34},
		{[]messages.LineItem{{MenuItemID: "v", Quantity: 2}, {MenuItemID: "n", Quantity: 3}}, 32_18},
		{[]messages.LineItem{{MenuItemID: "n", Quantity: 1}, {MenuItemID: "n", Quantity: 1}}, 5_00},
		{[]messages.LineItem{{MenuItemID: "gold", Quantity: 1}}, money.Max},
	} {
		r := ask(ajanta.ID, c.items...)
		body, err := command.ReplyAs[messages.OrderDetailsValidated](r)
		if err != nil || !r.Success || body != (messages.OrderDetailsValidated{RestaurantID: ajanta.ID, OrderTotal: c.total}) {
			t.Errorf("reply to %v is %v %+v, %v; want %s", c.items, r.Success, body, err, c.total)
		}
	}
	for _, c := range []struct {
		reply      string
		restaurant string
		items      []messages.LineItem
	}{
		{"RestaurantNotFound", "nowhere", []messages.LineItem{{MenuItemID: "v", Quantity: 1}}},
		{"MenuItemNotFound", ajanta.ID, []messages.LineItem{{MenuItemID: "v", Quantity: 1}, {MenuItemID: "V", Quantity: 1}}},
		{"OrderTotalTooLarge", ajanta.ID, []messages.LineItem{{MenuItemID: "gold", Quantity: 2}}},
		{"OrderTotalTooLarge", ajanta.ID, []messages.LineItem{{MenuItemID: "n", Quantity: 1}, {MenuItemID: "gold", Quantity: 1}}},
	} {
		if r := ask(c.restaurant, c.items...); r.Success || r.Type != c.reply {
			t.Errorf("reply to %v is %v %s, want the failure %s", c.items, r.Success, r.Type, c.reply)
		}
	}
}

// TestTotalIsExact compares with numbers that cannot overflow.
func TestTotalIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		prices := map[string]money.Money{}
		for _, id := range []string{"a", "b", "c"} {
			prices[id] = money.Money(rapid.Int64Range(1, int64(money.Max)).Draw(t, "price"))
		}
		order := &messages.ValidateOrderDetails{RestaurantID: "r"}
		want := new(big.Int)
		for range rapid.IntRange(1, 4).Draw(t, "items") {
			item := messages.LineItem{MenuItemID: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "item"), Quantity: rapid.IntRange(1, 1000).Draw(t, "quantity")}
			order.LineItems = append(order.LineItems, item)
			price := big.NewInt(prices[item.MenuItemID].Cents())
			want.Add(want, price.Mul(price, big.NewInt(int64(item.Quantity))))
		}
		total, refusal := totalOf(prices, order)
		if fits := want.Cmp(big.NewInt(money.Max.Cents())) <= 0; fits != (refusal == nil) {
			t.Fatalf("a total of %s cents: %v", want, refusal)
		}
		if refusal == nil && total.Cents() != want.Int64() {
			t.Fatalf("the total is %s, want %s cents", total, want)
		}
	})
}
