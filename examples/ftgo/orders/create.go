package orders

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"tidings.example"
	"tidings.example/saga"
)

// create creates an order and returns its id. Its row, the saga that validates it, and the
// commands that the saga sends at once are one transaction.
//
// With a key, a request that comes again gets the id of the order that the first has made, also
// where nobody knows whether that one was committed.
func (s *orders) create(ctx context.Context, d CreateOrder) (id string, err error) {
	if id, err := s.madeBefore(ctx, &d); id != "" || err != nil {
		return id, err
	}
	d.OrderID = tidings.NewID()
	err = s.store.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := saga.Start(ctx, tx, s.sagas, s.createOrder, d.OrderID, d)
		return err
	})
	if err == nil {
		return d.OrderID, nil
	}
	// Another request with the key may have been faster.
	if id, e := s.madeBefore(ctx, &d); id != "" || errors.Is(e, errOtherOrder) {
		return id, e
	}
	return "", fmt.Errorf("create order: %w", err)
}

// errOtherOrder: the key belongs to an order of something else.
var errOtherOrder = errors.New("the idempotency key was used for another order")

// madeBefore returns the id of the order that a request with the same key has made, or nothing.
func (s *orders) madeBefore(ctx context.Context, d *CreateOrder) (id string, err error) {
	if d.Key == "" {
		return "", nil
	}
	o, err := s.store.byKey(ctx, d.Key)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", nil
	case err != nil:
		return "", err
	case o.ConsumerID != d.ConsumerID || o.RestaurantID != d.RestaurantID || !slices.Equal(o.LineItems, d.LineItems):
		return "", errOtherOrder
	}
	return o.ID, nil
}
