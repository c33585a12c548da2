package orders

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"tidings.example/examples/customers-orders/commands"
	"tidings.example/examples/customers-orders/events"
	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/wiring"
	"tidings.example/saga"
	"tidings.example/service"
)

// NewOrchestrated returns the service in its second style: it directs each order
// through a saga, by commands, and does not listen to events. What it tells others is the same.
func NewOrchestrated(c wiring.Config) (*wiring.Part, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	names := events.Names{Prefix: c.Names.Prefix}
	s := newOrdering(c.DB, names)
	d := define(s, names.Prefix)
	sagas, err := c.Sagas(Name, d.create, d.cancel)
	if err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	s.place = func(ctx context.Context, tx *sql.Tx, o *Order) error {
		_, err := saga.Start(ctx, tx, sagas, d.create, o.ID, sagaOf(o))
		return err
	}
	s.withdraw = func(ctx context.Context, tx *sql.Tx, o *Order) error {
		_, err := saga.Start(ctx, tx, sagas, d.cancel, o.ID, sagaOf(o))
		o.State, o.Reason = events.Cancelled, events.ByCustomer
		return err
	}
	part, err := c.Part(wiring.Service{Name: Name, Migrations: migrations, Handler: s.routes(c.Routes(Name)),
		Inboxes: []service.Component{sagas}, Publishes: true})
	if err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	return part, nil
}

// An orderSaga is what the sagas of an order know.
type orderSaga struct {
	OrderID    string        `json:"orderId"`
	CustomerID string        `json:"customerId"`
	Total      money.Money   `json:"orderTotal"`
	Reason     events.Reason `json:"reason,omitempty"`
}

func sagaOf(o *Order) orderSaga {
	return orderSaga{OrderID: o.ID, CustomerID: o.CustomerID, Total: o.Total}
}

type definitions struct{ create, cancel *saga.Definition[orderSaga] }

// define defines the sagas: an order is PENDING until its credit is reserved,
// which nobody else may touch meanwhile; a cancelled one gives its credit back.
func define(s *ordering, prefix string) definitions {
	customers := commands.Customers(prefix)
	return definitions{
		create: saga.Define("create-order",
			saga.Local("create", s.createPending, saga.UndoLocally(s.reject)),
			saga.Invoke("reserve-credit", customers, reserveCredit, saga.OnReply(creditRefused), saga.UndoBy(releaseCredit)),
			saga.Local("approve", s.approve)),
		cancel: saga.Define("cancel-order",
			saga.Local("cancel", s.cancelApproved).AsPivot(),
			saga.Invoke("release-credit", customers, releaseCredit)),
	}
}

func reserveCredit(d *orderSaga) commands.ReserveCredit {
	return commands.ReserveCredit{OrderID: d.OrderID, CustomerID: d.CustomerID, OrderTotal: d.Total}
}

func releaseCredit(d *orderSaga) commands.ReleaseCredit {
	return commands.ReleaseCredit{OrderID: d.OrderID, CustomerID: d.CustomerID, OrderTotal: d.Total}
}

func creditRefused(d *orderSaga, r commands.CreditRefused) { d.Reason = r.Reason }

func (s *ordering) createPending(ctx context.Context, tx *sql.Tx, d *orderSaga) error {
	return s.insert(ctx, tx, &Order{ID: d.OrderID, CustomerID: d.CustomerID, State: events.Pending, Total: d.Total})
}

func (s *ordering) approve(ctx context.Context, tx *sql.Tx, d *orderSaga) error {
	return s.conclude(ctx, tx, d.OrderID, events.Approved, "")
}

// cancelApproved cancels an order for its customer. From there on its credit is given back, whatever happens.
func (s *ordering) cancelApproved(ctx context.Context, tx *sql.Tx, d *orderSaga) error {
	o, err := s.store.lock(ctx, tx, d.OrderID)
	if err != nil {
		return err
	}
	return s.settle(ctx, tx, &o, events.Cancelled, events.ByCustomer)
}

func (s *ordering) reject(ctx context.Context, tx *sql.Tx, d *orderSaga) error {
	return s.conclude(ctx, tx, d.OrderID, events.Cancelled, reasonOf(d))
}

func reasonOf(d *orderSaga) events.Reason { return cmp.Or(d.Reason, events.NotDecided) }

// conclude gives a pending order its next state.
func (s *ordering) conclude(ctx context.Context, tx *sql.Tx, id string, state events.State, reason events.Reason) error {
	o, err := s.store.lock(ctx, tx, id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return saga.Refuse(fmt.Errorf("order %q does not exist in this database", id))
	case err != nil:
		return err
	case o.State != events.Pending:
		return saga.Refuse(fmt.Errorf("order %q is %s already", id, o.State))
	}
	return s.settle(ctx, tx, &o, state, reason)
}
