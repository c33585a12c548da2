package eventtest_test

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"tidings.example/event"
	"tidings.example/event/eventtest"
	"tidings.example/inbox"
	"tidings.example/outbox"
	"tidings.example/store/memory"
)

var (
	Orders    = event.Aggregate{Name: "Order", Channel: "orders"}
	Customers = event.Aggregate{Name: "Customer", Channel: "customers"}
)

type (
	CustomerCreated struct{ Limit int }
	OrderCreated    struct {
		CustomerID string
		Total      int
	}
	CreditReserved      struct{ OrderID string }
	CreditLimitExceeded struct{ OrderID string }
)

func (CustomerCreated) EventType() string     { return "CustomerCreated" }
func (OrderCreated) EventType() string        { return "OrderCreated" }
func (CreditReserved) EventType() string      { return "CreditReserved" }
func (CreditLimitExceeded) EventType() string { return "CreditLimitExceeded" }

// customers is the service under test.
func customers(o *outbox.Outbox[*memory.Tx]) *event.Subscriber[*memory.Tx] {
	publisher := event.NewPublisher(Customers, o)
	sub := event.NewSubscriber[*memory.Tx]("customers")
	event.On(sub, Customers, func(ctx context.Context, tx *memory.Tx, e event.Of[CustomerCreated]) error {
		return tx.Put(ctx, "left/"+e.AggregateID, strconv.Itoa(e.Data.Limit))
	})
	event.On(sub, Orders, func(ctx context.Context, tx *memory.Tx, e event.Of[OrderCreated]) error {
		text, err := tx.Get(ctx, "left/"+e.Data.CustomerID)
		if err != nil {
			return err
		}
		left, err := strconv.Atoi(text)
		if err != nil {
			return inbox.Permanent(errors.New("no such customer"))
		}
		if left < e.Data.Total {
			return publisher.Publish(ctx, tx, e.Data.CustomerID, CreditLimitExceeded{e.AggregateID})
		}
		if err := tx.Put(ctx, "left/"+e.Data.CustomerID, strconv.Itoa(left-e.Data.Total)); err != nil {
			return err
		}
		return publisher.Publish(ctx, tx, e.Data.CustomerID, CreditReserved{e.AggregateID})
	})
	return sub
}

// A test of a handler: given, when, then.
func TestCustomersReserveCredit(t *testing.T) {
	t.Parallel()
	c := eventtest.New(t, memory.New())
	c.Subscriber(customers(c.Outbox()))

	c.Given(eventtest.Of(Customers, "ada", CustomerCreated{Limit: 100}))
	c.When(eventtest.Of(Orders, "7", OrderCreated{CustomerID: "ada", Total: 60}))
	c.ThenPublished(eventtest.Of(Customers, "ada", CreditReserved{OrderID: "7"}))
	c.When(eventtest.Of(Orders, "8", OrderCreated{CustomerID: "ada", Total: 60}))
	c.ThenPublished(eventtest.Of(Customers, "ada", CreditLimitExceeded{OrderID: "8"}))

	c.When(eventtest.Of(Orders, "9", OrderCreated{CustomerID: "nobody"}))
	c.ThenFails(eventtest.Permanent)
}
