package customers

import (
	"context"
	"testing"

	"pgregory.net/rapid"

	"tidings.example"
	"tidings.example/event"
	"tidings.example/examples/customers-orders/events"
	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/sampletest"
)

// account is what a customer's credit should be, kept in the simplest way.
type account struct {
	limit, reserved money.Money
	orders          map[string]string // the state of each order's reservation
}

func (a *account) created(o events.Order) {
	switch {
	case a.orders[o.OrderID] != "":
	case a.reserved+o.OrderTotal > a.limit:
		a.orders[o.OrderID] = refused
	default:
		a.orders[o.OrderID] = reserved
		a.reserved += o.OrderTotal
	}
}

func (a *account) cancelled(o events.Order) {
	switch a.orders[o.OrderID] {
	case "":
		a.orders[o.OrderID] = released
	case reserved:
		a.orders[o.OrderID] = released
		a.reserved -= o.OrderTotal
	}
}

// TestCreditWhateverArrivesFirst hands over events about orders in any order,
// some of them twice, and cancellations before what they cancel.
func TestCreditWhateverArrivesFirst(t *testing.T) {
	t.Parallel()
	db := sampletest.Database(t, Name, migrations)
	names := events.Names{}
	s := &crediting{store: store{db}, events: event.NewPublisher(names.Customers(), db.Outbox)}
	sub := s.subscriber(names)
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		c, err := s.create(ctx, "Ada", 100_00)
		if err != nil {
			t.Fatal(err)
		}
		model := &account{limit: c.Limit, orders: map[string]string{}}
		var arrivals []event.Event
		for range rapid.IntRange(1, 6).Draw(t, "orders") {
			o := events.Order{OrderID: tidings.NewID(), CustomerID: c.ID, OrderTotal: money.Money(rapid.Int64Range(1, 60_00).Draw(t, "total"))}
			arrivals = append(arrivals, events.OrderCreated{Order: o})
			if rapid.Bool().Draw(t, "cancelled") {
				arrivals = append(arrivals, events.OrderCancelled{Order: o, Reason: events.ByCustomer})
			}
		}
		arrivals = append(arrivals, rapid.SliceOfN(rapid.SampledFrom(arrivals), 0, 4).Draw(t, "repeated")...)
		for _, e := range rapid.Permutation(arrivals).Draw(t, "arrival") {
			var o events.Order
			switch e := e.(type) {
			case events.OrderCreated:
				o = e.Order
				model.created(o)
			case events.OrderCancelled:
				o = e.Order
				model.cancelled(o)
			}
			if err := sampletest.Handle(db, sub, names.Orders(), o.OrderID, e); err != nil {
				t.Fatalf("%s: %v", e.EventType(), err)
			}
			got, err := s.store.get(ctx, c.ID)
			if err != nil {
				t.Fatal(err)
			}
			if got.Reserved != model.reserved {
				t.Fatalf("after %s %s is reserved, want %s", e.EventType(), got.Reserved, model.reserved)
			}
		}
	})
}

// TestOrderOfUnknownCustomerIsToldOnce also where the order is sent again.
func TestOrderOfUnknownCustomerIsToldOnce(t *testing.T) {
	t.Parallel()
	db := sampletest.Database(t, Name, migrations)
	names := events.Names{}
	s := &crediting{store: store{db}, events: event.NewPublisher(names.Customers(), db.Outbox)}
	o := events.Order{OrderID: "order-1", CustomerID: "nobody", OrderTotal: 1}
	for range 2 {
		if err := sampletest.Handle(db, s.subscriber(names), names.Orders(), o.OrderID, events.OrderCreated{Order: o}); err != nil {
			t.Fatal(err)
		}
	}
	backlog, err := db.Admin.Backlog(t.Context())
	if err != nil || backlog.Rows != 1 {
		t.Errorf("%d events were told, want 1 (%v)", backlog.Rows, err)
	}
}

// TestDatabaseRefusesMoreThanTheLimit: behind all code stands the check of the table.
func TestDatabaseRefusesMoreThanTheLimit(t *testing.T) {
	t.Parallel()
	db := sampletest.Database(t, Name, migrations)
	s := &crediting{store: store{db}, events: event.NewPublisher(events.Names{}.Customers(), db.Outbox)}
	c, err := s.create(t.Context(), "Ada", 100)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.SQL.ExecContext(t.Context(), "UPDATE customers SET reserved_cents = 101 WHERE customer_id = ?", c.ID); err == nil {
		t.Error("the database took more reserved credit than the limit")
	}
}
