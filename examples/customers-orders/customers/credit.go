package customers

import (
	"context"
	"database/sql"
	"errors"

	"tidings.example/event"
	"tidings.example/examples/customers-orders/events"
)

// orderCreated reserves credit for an order, if there is enough, and tells what
// came of it.
func (s *crediting) orderCreated(ctx context.Context, tx *sql.Tx, e event.Of[events.OrderCreated]) error {
	_, err := s.reserve(ctx, tx, e.Data.Order)
	return err
}

// reserve reserves credit for an order, if there is enough, tells what came of it, and returns
// why not. An order that has a reservation already is not new: it was
// cancelled before it was heard of, or its source has sent it again.
func (s *crediting) reserve(ctx context.Context, tx *sql.Tx, order events.Order) (events.Reason, error) {
	r, err := s.store.reservation(ctx, tx, order.OrderID)
	switch {
	case err == nil && r.state == reserved:
		return "", nil
	case err == nil:
		return events.CreditLimitReached, nil
	case !errors.Is(err, sql.ErrNoRows):
		return "", err
	}
	r = reservation{order: order.OrderID, customer: order.CustomerID, amount: order.OrderTotal, state: refused}
	told, why, err := s.decide(ctx, tx, &r)
	if err != nil {
		return "", err
	}
	if err := s.store.insertReservation(ctx, tx, r); err != nil {
		return "", err
	}
	return why, s.events.Publish(ctx, tx, r.customer, told)
}

// decide takes the credit for r from its customer, if it can, and returns what
// to tell about it, and why it cannot.
func (s *crediting) decide(ctx context.Context, tx *sql.Tx, r *reservation) (event.Event, events.Reason, error) {
	c, err := s.store.lock(ctx, tx, r.customer)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return events.CustomerNotFound{CustomerID: r.customer, OrderID: r.order}, events.UnknownCustomer, nil
	case err != nil:
		return nil, "", err
	case r.amount > c.Available():
		return events.CreditLimitExceeded{Credit: credit(r, &c)}, events.CreditLimitReached, nil
	}
	r.state, c.Reserved = reserved, c.Reserved+r.amount
	if err := s.store.updateReserved(ctx, tx, &c); err != nil {
		return nil, "", err
	}
	return events.CreditReserved{Credit: credit(r, &c)}, "", nil
}

// orderCancelled gives back what was reserved for an order.
func (s *crediting) orderCancelled(ctx context.Context, tx *sql.Tx, e event.Of[events.OrderCancelled]) error {
	return s.release(ctx, tx, e.Data.Order)
}

// release gives back what was reserved for an order. Where nothing was, it
// remembers that nothing may be reserved any more.
func (s *crediting) release(ctx context.Context, tx *sql.Tx, order events.Order) error {
	r, err := s.store.reservation(ctx, tx, order.OrderID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return s.store.insertReservation(ctx, tx,
			reservation{order: order.OrderID, customer: order.CustomerID, amount: order.OrderTotal, state: released})
	case err != nil:
		return err
	case r.state != reserved:
		return nil
	}
	c, err := s.store.lock(ctx, tx, r.customer)
	if err != nil {
		return err
	}
	c.Reserved -= r.amount
	if err := s.store.release(ctx, tx, r.order); err != nil {
		return err
	}
	if err := s.store.updateReserved(ctx, tx, &c); err != nil {
		return err
	}
	return s.events.Publish(ctx, tx, c.ID, events.CreditReleased{Credit: credit(&r, &c)})
}

func credit(r *reservation, c *Customer) events.Credit {
	return events.Credit{CustomerID: c.ID, OrderID: r.order, Amount: r.amount, Available: c.Available()}
}
