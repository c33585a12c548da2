package history

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidings.example"
	"tidings.example/event"
	"tidings.example/examples/customers-orders/events"
	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/sampletest"
	"tidings.example/examples/shared/web"
)

// step is one event on its way to the view.
type step struct {
	channel event.Aggregate
	id      string
	event   event.Event
}

// lives are the ways in which an order can go, as the events that tell of it.
var lives = []struct {
	events []string
	state  events.State
	reason events.Reason
}{
	{[]string{"created"}, events.Pending, ""},
	{[]string{"created", "approved"}, events.Approved, ""},
	{[]string{"created", string(events.CreditLimitReached)}, events.Cancelled, events.CreditLimitReached},
	{[]string{"created", string(events.UnknownCustomer)}, events.Cancelled, events.UnknownCustomer},
	{[]string{"created", "approved", string(events.ByCustomer)}, events.Cancelled, events.ByCustomer},
}

// TestViewConverges hands the view what both channels hold in every order that
// rapid thinks of, some of it twice, and expects the same answer each time.
func TestViewConverges(t *testing.T) {
	t.Parallel()
	db := sampletest.Database(t, Name, migrations)
	v := &view{db}
	names := events.Names{}
	sub := v.subscriber(names)
	handler := v.routes(web.NewRoutes(web.Config{}))
	rapid.Check(t, func(t *rapid.T) {
		var steps []step
		want := map[string]string{}
		for n := range rapid.IntRange(1, 3).Draw(t, "customers") {
			customer, name := tidings.NewID(), fmt.Sprintf("Customer %d", n)
			steps = append(steps, step{names.Customers(), customer, events.CustomerCreated{CustomerID: customer, Name: name, CreditLimit: 100_00}})
			var orders []string
			for range rapid.IntRange(0, 4).Draw(t, "orders") {
				o := events.Order{OrderID: tidings.NewID(), CustomerID: customer, OrderTotal: money.Money(rapid.Int64Range(1, 9999).Draw(t, "total"))}
				life := rapid.SampledFrom(lives).Draw(t, "life")
				for _, what := range life.events {
					steps = append(steps, step{names.Orders(), o.OrderID, eventOf(what, o)})
				}
				reason := ""
				if life.reason != "" {
					reason = fmt.Sprintf(`,"cancellationReason":%q`, life.reason)
				}
				orders = append([]string{fmt.Sprintf(`{"orderId":%q,"orderState":%q,"orderTotal":{"amount":%s}%s}`, o.OrderID, life.state, o.OrderTotal, reason)}, orders...)
			}
			want[customer] = fmt.Sprintf(`{"customerId":%q,"name":%q,"creditLimit":{"amount":100},"orders":[%s]}`, customer, name, strings.Join(orders, ","))
		}
		// Any order at all, of which those that keep the order per key are some.
		steps = rapid.Permutation(append(steps, rapid.SliceOfN(rapid.SampledFrom(steps), 0, 5).Draw(t, "repeated")...)).Draw(t, "arrival")
		for _, s := range steps {
			if err := sampletest.Handle(db, sub, s.channel, s.id, s.event); err != nil {
				t.Fatalf("%s: %v", s.event.EventType(), err)
			}
		}
		for customer, body := range want {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/customers/"+customer+"/orderhistory", nil))
			if got := strings.TrimSpace(w.Body.String()); w.Code != 200 || got != body {
				t.Fatalf("history is %d %s\nwant %s", w.Code, got, body)
			}
		}
	})
}

func eventOf(what string, o events.Order) event.Event {
	switch what {
	case "created":
		return events.OrderCreated{Order: o}
	case "approved":
		return events.OrderApproved{Order: o}
	}
	return events.OrderCancelled{Order: o, Reason: events.Reason(what)}
}
