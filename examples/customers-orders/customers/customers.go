// Package customers is the service that knows customers and their credit. For
// each order that the orders service tells about it tries to reserve credit,
// and tells what came of it; when an order is cancelled, it gives the credit back.
//
// The credit reserved for a customer is never more than the limit: a
// reservation locks the customer's row, and a check of the database stands
// behind that. Once all is quiet it is the sum of the customer's approved
// orders: each order has one reservation, which is taken once and given back once.
package customers

import (
	"context"
	"database/sql"
	"embed"
	"fmt"

	"tidings.example"
	"tidings.example/event"
	"tidings.example/examples/customers-orders/events"
	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/sqldb"
	"tidings.example/examples/shared/wiring"
)

// Name is the service's name.
const Name = "customers"

//go:embed migrations
var migrations embed.FS

// A Customer is a row of the service's table.
type Customer struct {
	ID       string
	Name     string
	Limit    money.Money
	Reserved money.Money
}

// Available is the credit that new orders may use.
func (c *Customer) Available() money.Money { return c.Limit - c.Reserved }

// New returns the service: its HTTP handler, the inbox that receives what the
// orders service tells, and the relay that sends what it tells itself.
func New(c wiring.Config) (*wiring.Part, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	names := events.Names{Prefix: c.Names.Prefix}
	s := &crediting{store: store{sqldb.DB{Database: c.DB}}, events: event.NewPublisher(names.Customers(), c.DB.Outbox)}
	// One transaction at a time: those of several orders lock the rows of
	// several customers, each in its own order, and would meet in deadlocks.
	// What runs in other processes may still; the inbox then tries again.
	part, err := c.Part(wiring.Service{Name: Name, Migrations: migrations, Handler: s.routes(c.Routes(Name)),
		Receivers: []wiring.Receiver{s.subscriber(names)}, Publishes: true, Concurrency: 1})
	if err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	return part, nil
}

// crediting is what the service does.
type crediting struct {
	store  store
	events *event.Publisher[*sql.Tx]
}

func (s *crediting) subscriber(names events.Names) *event.Subscriber[*sql.Tx] {
	sub := event.NewSubscriber[*sql.Tx](names.Subscriber(Name))
	orders := names.Orders()
	event.On(sub, orders, s.orderCreated)
	event.On(sub, orders, s.orderCancelled)
	return sub
}

func (s *crediting) create(ctx context.Context, name string, limit money.Money) (Customer, error) {
	c := Customer{ID: tidings.NewID(), Name: name, Limit: limit}
	err := s.store.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := s.store.insert(ctx, tx, &c); err != nil {
			return err
		}
		return s.events.Publish(ctx, tx, c.ID, events.CustomerCreated{CustomerID: c.ID, Name: c.Name, CreditLimit: c.Limit})
	})
	if err != nil {
		return Customer{}, fmt.Errorf("create customer: %w", err)
	}
	return c, nil
}
