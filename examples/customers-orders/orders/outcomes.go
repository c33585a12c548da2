package orders

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"tidings.example/event"
	"tidings.example/examples/customers-orders/events"
	"tidings.example/inbox"
)

func (s *ordering) creditReserved(ctx context.Context, tx *sql.Tx, e event.Of[events.CreditReserved]) error {
	return s.decided(ctx, tx, e.Data.OrderID, events.Approved, "")
}

func (s *ordering) creditLimitExceeded(ctx context.Context, tx *sql.Tx, e event.Of[events.CreditLimitExceeded]) error {
	return s.decided(ctx, tx, e.Data.OrderID, events.Cancelled, events.CreditLimitReached)
}

func (s *ordering) customerNotFound(ctx context.Context, tx *sql.Tx, e event.Of[events.CustomerNotFound]) error {
	return s.decided(ctx, tx, e.Data.OrderID, events.Cancelled, events.UnknownCustomer)
}

// decided ends the wait of a pending order. An order that waits no more has
// been decided before, and stays as it is: its customer may have cancelled it since.
func (s *ordering) decided(ctx context.Context, tx *sql.Tx, id string, state events.State, reason events.Reason) error {
	o, err := s.store.lock(ctx, tx, id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		// The customers service cannot know an order that was not committed
		// here. Somebody has to look; trying again does not help.
		return inbox.Permanent(fmt.Errorf("order %q does not exist in this database", id))
	case err != nil:
		return err
	case o.State != events.Pending:
		return nil
	}
	return s.settle(ctx, tx, &o, state, reason)
}
