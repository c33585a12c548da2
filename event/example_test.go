package event_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"tidings.example/broker/inproc"
	"tidings.example/event"
	"tidings.example/inbox"
	"tidings.example/relay"
	"tidings.example/service"
	"tidings.example/store/memory"
)

// Orders are what the events are about, and where they are sent.
var Orders = event.Aggregate{Name: "Order", Channel: "orders"}

// OrderCreated is an event. Its name on the wire is chosen here.
type OrderCreated struct {
	CustomerID string
	Total      int
}

func (OrderCreated) EventType() string { return "OrderCreated" }

func Example() {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	db, broker := memory.New(), inproc.New(inproc.Config{})

	// The service that receives: one line to register a handler, which is
	// called exactly once for each event, in a transaction of its database.
	sub := event.NewSubscriber[*memory.Tx]("customers")
	event.On(sub, Orders, func(ctx context.Context, tx *memory.Tx, e event.Of[OrderCreated]) error {
		fmt.Printf("order %s of customer %s: %d\n", e.AggregateID, e.Data.CustomerID, e.Data.Total)
		defer stop()
		return tx.Put(ctx, "reserved/"+e.Data.CustomerID, fmt.Sprint(e.Data.Total))
	})
	in, err := sub.Inbox(inbox.Config[*memory.Tx]{Store: db.Inbox(), Broker: broker})
	if err != nil {
		log.Fatal(err)
	}

	// The service that sends: one line in the transaction that changes the
	// data. The event is published if and only if the transaction commits.
	orders := event.NewPublisher(Orders, db.Outbox())
	err = db.InTx(ctx, func(ctx context.Context, tx *memory.Tx) error {
		if err := tx.Put(ctx, "order/7", "PENDING"); err != nil {
			return err
		}
		return orders.Publish(ctx, tx, "7", OrderCreated{CustomerID: "ada", Total: 42})
	})
	if err != nil {
		log.Fatal(err)
	}

	// The relay carries committed messages to the broker.
	r, err := relay.New(relay.Config{Source: db.Relay("shop"), Broker: broker})
	if err != nil {
		log.Fatal(err)
	}
	s, err := service.New(service.Config{Name: "shop", Inboxes: []service.Component{in}, Relays: []service.Component{r}})
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Run(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("reserved for ada:", db.Get("reserved/ada"))
	// Output:
	// order 7 of customer ada: 42
	// reserved for ada: 42
}
