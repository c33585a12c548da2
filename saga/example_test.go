package saga_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"tidings.example/broker/inproc"
	"tidings.example/command"
	"tidings.example/inbox"
	"tidings.example/relay"
	"tidings.example/saga"
	"tidings.example/service"
	"tidings.example/store/memory"
)

// What the customers service can be asked, and its answer. Names are those on the wire.
var customers = command.Participant{Name: "customers", Channel: "customers.commands"}

type ReserveCredit struct {
	CustomerID string
	Total      int
}

func (ReserveCredit) CommandType() string { return "ReserveCredit" }

type CreditRefused struct{ Limit int }

func (CreditRefused) ReplyType() string { return "CreditRefused" }

// CreateOrder is what the saga knows. It is stored with it.
type CreateOrder struct {
	OrderID, CustomerID string
	Total, Limit        int
}

func setState(state string) func(ctx context.Context, tx *memory.Tx, d *CreateOrder) error {
	return func(ctx context.Context, tx *memory.Tx, d *CreateOrder) error {
		return tx.Put(ctx, "order/"+d.OrderID, state)
	}
}

func reserveCredit(d *CreateOrder) ReserveCredit          { return ReserveCredit{d.CustomerID, d.Total} }
func creditRefused(d *CreateOrder, refused CreditRefused) { d.Limit = refused.Limit }

// An order is created PENDING, and approved when its credit is reserved; else it is cancelled.
var createsOrder = saga.Define("create-order",
	saga.Local("create", setState("PENDING"), saga.UndoLocally(setState("CANCELLED"))),
	saga.Invoke("reserve-credit", customers, reserveCredit, saga.OnReply(creditRefused)).AsPivot(),
	saga.Local("approve", setState("APPROVED")))

func Example() {
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	orders, credit, broker := memory.New(), memory.New(), inproc.New(inproc.Config{})

	// The participant answers commands, each in a transaction of its own database.
	receiver := command.NewReceiver("customers", credit.Outbox(), credit.Commands())
	command.On(receiver, customers, func(ctx context.Context, tx *memory.Tx, c command.Of[ReserveCredit]) (command.Answer, error) {
		if c.Data.Total > 100 {
			return command.Fail(CreditRefused{Limit: 100}), nil
		}
		return command.Done(), tx.Put(ctx, "reserved/"+c.Data.CustomerID, fmt.Sprint(c.Data.Total))
	})
	in, err := receiver.Inbox(inbox.Config[*memory.Tx]{Store: credit.Inbox(), Broker: broker})
	check(err)

	// The orchestrator runs its sagas.
	sagas, err := saga.New(saga.Config[*memory.Tx]{Name: "orders", Store: orders.Sagas(), Outbox: orders.Outbox(), Inbox: orders.Inbox(),
		Broker: broker, Definitions: []saga.AnyDefinition{createsOrder}})
	check(err)
	fromOrders, err := relay.New(relay.Config{Source: orders.Relay("orders"), Broker: broker})
	check(err)
	fromCustomers, err := relay.New(relay.Config{Source: credit.Relay("customers"), Broker: broker})
	check(err)
	shop, err := service.New(service.Config{Name: "shop", Inboxes: []service.Component{in, sagas}, Relays: []service.Component{fromOrders, fromCustomers}})
	check(err)
	done := make(chan error, 1)
	go func() { done <- shop.Run(ctx) }()

	// A saga starts in the caller's transaction.
	for _, order := range []CreateOrder{{OrderID: "1", CustomerID: "ada", Total: 42}, {OrderID: "2", CustomerID: "ada", Total: 420}} {
		check(orders.InTx(ctx, func(ctx context.Context, tx *memory.Tx) error {
			_, err := saga.Start(ctx, tx, sagas, createsOrder, order.OrderID, order)
			return err
		}))
		outcome, err := saga.Wait(ctx, sagas, createsOrder, order.OrderID)
		check(err)
		fmt.Printf("order %s: saga %s, order %s, limit %d\n", order.OrderID, outcome.State, orders.Get("order/"+order.OrderID), outcome.Data.Limit)
	}
	stop()
	check(<-done)
	// Output:
	// order 1: saga completed, order APPROVED, limit 0
	// order 2: saga compensated, order CANCELLED, limit 100
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
