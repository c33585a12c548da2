package orders

import (
	"testing"

	"tidings.example/event"
	"tidings.example/examples/customers-orders/events"
	"tidings.example/examples/shared/sampletest"
	"tidings.example/inbox"
)

type bundle struct {
	*ordering
	t   *testing.T
	sub func(id string, e event.Event) error
}

func setup(t *testing.T) *bundle {
	t.Helper()
	db := sampletest.Database(t, Name, migrations)
	names := events.Names{}
	s := choreographed(db.Database, names)
	sub := s.subscriber(names)
	return &bundle{s, t, func(id string, e event.Event) error {
		return sampletest.Handle(db, sub, names.Customers(), id, e)
	}}
}

func (b *bundle) want(id string, state events.State, reason events.Reason, told int64) {
	b.t.Helper()
	o, err := b.store.get(b.t.Context(), id)
	if err != nil || o.State != state || o.Reason != reason {
		b.t.Errorf("order is %s %q, want %s %q (%v)", o.State, o.Reason, state, reason, err)
	}
	backlog, err := b.store.db.Admin.Backlog(b.t.Context())
	if err != nil || backlog.Rows != told {
		b.t.Errorf("%d events were told, want %d (%v)", backlog.Rows, told, err)
	}
}

func TestDecisionCounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		decision func(order, customer string) event.Event
		state    events.State
		reason   events.Reason
	}{
		{func(o, c string) event.Event {
			return events.CreditReserved{Credit: events.Credit{OrderID: o, CustomerID: c}}
		}, events.Approved, ""},
		{func(o, c string) event.Event {
			return events.CreditLimitExceeded{Credit: events.Credit{OrderID: o, CustomerID: c}}
		}, events.Cancelled, events.CreditLimitReached},
		{func(o, c string) event.Event { return events.CustomerNotFound{OrderID: o, CustomerID: c} }, events.Cancelled, events.UnknownCustomer},
	} {
		b := setup(t)
		o, err := b.create(t.Context(), "ada", 1234)
		if err != nil {
			t.Fatal(err)
		}
		b.want(o.ID, events.Pending, "", 1)
		for range 2 { // the second time it changes nothing
			if err := b.sub("ada", c.decision(o.ID, "ada")); err != nil {
				t.Fatal(err)
			}
			b.want(o.ID, c.state, c.reason, 2)
		}
	}
}

// TestDecisionAfterCancelling: an order that its customer has cancelled is not
// approved by a decision that comes again.
func TestDecisionAfterCancelling(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o, err := b.create(t.Context(), "ada", 1234)
	if err != nil {
		t.Fatal(err)
	}
	reserved := events.CreditReserved{Credit: events.Credit{OrderID: o.ID, CustomerID: "ada"}}
	if err := b.sub("ada", reserved); err != nil {
		t.Fatal(err)
	}
	if _, err := b.cancel(t.Context(), o.ID); err != nil {
		t.Fatal(err)
	}
	if err := b.sub("ada", reserved); err != nil {
		t.Fatal(err)
	}
	b.want(o.ID, events.Cancelled, events.ByCustomer, 3)
}

func TestDecisionAboutAnUnknownOrderIsSetAside(t *testing.T) {
	t.Parallel()
	b := setup(t)
	err := b.sub("ada", events.CreditReserved{Credit: events.Credit{OrderID: "order-1", CustomerID: "ada"}})
	if !inbox.IsPermanent(err) {
		t.Errorf("the error is %v, want a permanent one", err)
	}
}
