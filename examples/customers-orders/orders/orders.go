// Package orders is the service that takes orders. An order is PENDING when it
// is created, and answered before any other service has heard of it; what the
// customers service then tells makes it APPROVED or CANCELLED. A customer may
// cancel an approved order.
//
// Each change of an order and the event that tells about it are one transaction.
package orders

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"

	"tidings.example"
	"tidings.example/event"
	"tidings.example/examples/customers-orders/events"
	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/sqldb"
	"tidings.example/examples/shared/wiring"
	"tidings.example/internal/connect"
)

// Name is the service's name.
const Name = "orders"

//go:embed migrations
var migrations embed.FS

// An Order is a row of the service's table.
type Order struct {
	ID         string        `json:"orderId"`
	CustomerID string        `json:"customerId"`
	State      events.State  `json:"orderState"`
	Total      money.Money   `json:"orderTotal"`
	Reason     events.Reason `json:"cancellationReason,omitempty"`
}

func (o *Order) event() events.Order {
	return events.Order{OrderID: o.ID, CustomerID: o.CustomerID, OrderTotal: o.Total}
}

// New returns the service: its HTTP handler, the inbox that receives what the
// customers service tells, and the relay that sends what it tells itself.
func New(c wiring.Config) (*wiring.Part, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	names := events.Names{Prefix: c.Names.Prefix}
	s := choreographed(c.DB, names)
	part, err := c.Part(wiring.Service{Name: Name, Migrations: migrations, Handler: s.routes(c.Routes(Name)),
		Receivers: []wiring.Receiver{s.subscriber(names)}, Publishes: true})
	if err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	return part, nil
}

// choreographed is the service in its first style: the customers service hears of
// orders, placed and cancelled.
func choreographed(db *connect.Database, names events.Names) *ordering {
	s := newOrdering(db, names)
	s.place = s.insert
	s.withdraw = func(ctx context.Context, tx *sql.Tx, o *Order) error {
		return s.settle(ctx, tx, o, events.Cancelled, events.ByCustomer)
	}
	return s
}

func newOrdering(db *connect.Database, names events.Names) *ordering {
	return &ordering{store: store{sqldb.DB{Database: db}}, events: event.NewPublisher(names.Orders(), db.Outbox)}
}

// ordering is what the service does.
type ordering struct {
	store  store
	events *event.Publisher[*sql.Tx]
	// place makes a new order, and withdraw cancels one that is approved, so that it gives its
	// credit back: here the styles differ. Others act on the events that are published in both.
	place, withdraw func(ctx context.Context, tx *sql.Tx, o *Order) error
}

func (s *ordering) subscriber(names events.Names) *event.Subscriber[*sql.Tx] {
	sub := event.NewSubscriber[*sql.Tx](names.Subscriber(Name))
	customers := names.Customers()
	event.On(sub, customers, s.creditReserved)
	event.On(sub, customers, s.creditLimitExceeded)
	event.On(sub, customers, s.customerNotFound)
	return sub
}

func (s *ordering) create(ctx context.Context, customerID string, total money.Money) (Order, error) {
	o := Order{ID: tidings.NewID(), CustomerID: customerID, State: events.Pending, Total: total}
	err := s.store.db.InTx(ctx, func(tx *sql.Tx) error {
		return s.place(ctx, tx, &o)
	})
	if err != nil {
		return Order{}, fmt.Errorf("create order: %w", err)
	}
	return o, nil
}

// insert stores a new order and tells about it.
func (s *ordering) insert(ctx context.Context, tx *sql.Tx, o *Order) error {
	if err := s.store.insert(ctx, tx, o); err != nil {
		return err
	}
	return s.events.Publish(ctx, tx, o.ID, events.OrderCreated{Order: o.event()})
}

// errNotApproved is returned with the order as it is.
var errNotApproved = errors.New("only an approved order can be cancelled")

// cancel cancels an approved order for its customer. Since only one transaction
// finds the order approved, the credit is given back once.
func (s *ordering) cancel(ctx context.Context, id string) (Order, error) {
	var o Order
	err := s.store.db.InTx(ctx, func(tx *sql.Tx) (err error) {
		if o, err = s.store.lock(ctx, tx, id); err != nil {
			return err
		}
		if o.State != events.Approved {
			return errNotApproved
		}
		return s.withdraw(ctx, tx, &o)
	})
	if err != nil {
		return o, fmt.Errorf("cancel order: %w", err)
	}
	return o, nil
}

// settle gives the order, which tx has locked, its next state and tells about it.
func (s *ordering) settle(ctx context.Context, tx *sql.Tx, o *Order, state events.State, reason events.Reason) error {
	o.State, o.Reason = state, reason
	if err := s.store.update(ctx, tx, o); err != nil {
		return err
	}
	if state == events.Approved {
		return s.events.Publish(ctx, tx, o.ID, events.OrderApproved{Order: o.event()})
	}
	return s.events.Publish(ctx, tx, o.ID, events.OrderCancelled{Order: o.event(), Reason: reason})
}
