// Package history is the service that answers questions which no other service
// can answer alone: a customer's name and limit are the customers service's,
// the orders are the orders service's. It keeps a view that joins what both
// tell.
//
// The view converges: whatever the order in which events arrive, also twice,
// it ends up the same. Every event about an order carries all of the order, and
// an order's state only ever moves forward.
package history

import (
	"context"
	"database/sql"
	"embed"
	"fmt"

	"tidings.example/event"
	"tidings.example/examples/customers-orders/events"
	"tidings.example/examples/shared/sqldb"
	"tidings.example/examples/shared/wiring"
)

// Name is the service's name.
const Name = "history"

//go:embed migrations
var migrations embed.FS

// New returns the service: its HTTP handler, and the inbox that receives what
// the others tell. It tells nothing itself.
func New(c wiring.Config) (*wiring.Part, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	names := events.Names{Prefix: c.Names.Prefix}
	v := &view{sqldb.DB{Database: c.DB}}
	part, err := c.Part(wiring.Service{Name: Name, Migrations: migrations, Handler: v.routes(c.Routes(Name)),
		Receivers: []wiring.Receiver{v.subscriber(names)}})
	if err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	return part, nil
}

func (v *view) subscriber(names events.Names) *event.Subscriber[*sql.Tx] {
	sub := event.NewSubscriber[*sql.Tx](names.Subscriber(Name))
	customers, orders := names.Customers(), names.Orders()
	event.On(sub, customers, func(ctx context.Context, tx *sql.Tx, e event.Of[events.CustomerCreated]) error {
		return v.putCustomer(ctx, tx, e.Data)
	})
	event.On(sub, orders, func(ctx context.Context, tx *sql.Tx, e event.Of[events.OrderCreated]) error {
		return v.putOrder(ctx, tx, e.Data.Order, events.Pending, "")
	})
	event.On(sub, orders, func(ctx context.Context, tx *sql.Tx, e event.Of[events.OrderApproved]) error {
		return v.putOrder(ctx, tx, e.Data.Order, events.Approved, "")
	})
	event.On(sub, orders, func(ctx context.Context, tx *sql.Tx, e event.Of[events.OrderCancelled]) error {
		return v.putOrder(ctx, tx, e.Data.Order, events.Cancelled, e.Data.Reason)
	})
	return sub
}
