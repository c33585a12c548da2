package soak

import (
	"context"
	"fmt"

	"tidings.example/admin"
	"tidings.example/internal/connect"
	"tidings.example/saga/machine"
)

// createOrder is the type of the saga that every order of the sample has.
const createOrder = "create-order"

// orchestrated checks the sagas of a system that has some: each order has had one, which was
// completed where the order was approved, and compensated where it was not.
func (r *run) orchestrated(ctx context.Context, c *Counts) error {
	for _, url := range r.Sagas {
		db, err := r.open(ctx, url)
		if err == nil {
			err = sagas(ctx, db, c)
		}
		if err != nil {
			return err
		}
	}
	for _, url := range r.Locks {
		db, err := r.open(ctx, url)
		if err == nil {
			err = locks(ctx, db)
		}
		if err != nil {
			return err
		}
	}
	if n := c.Created + c.Compensated; len(r.Sagas) > 0 && n != int64(c.Orders) {
		return fmt.Errorf("%d orders have had %d sagas", c.Orders, n)
	}
	return nil
}

// sagas checks that every saga has ended, by itself, and counts how.
func sagas(ctx context.Context, db *connect.Database, c *Counts) error {
	counts, err := db.Admin.CountSagas(ctx)
	if err != nil {
		return err
	}
	for _, n := range counts {
		switch machine.State(n.State) {
		case machine.Completed:
			c.Completed += n.Count
			if n.Type == createOrder {
				c.Created += n.Count
			}
		case machine.Compensated:
			c.Compensated += n.Count
		default:
			return fmt.Errorf("%d sagas of type %s are %s", n.Count, n.Type, n.State)
		}
	}
	return nil
}

// locks checks that a participant holds nothing for a saga any more.
func locks(ctx context.Context, db *connect.Database) error {
	held, err := db.Admin.ListLocks(ctx, admin.LockFilter{Limit: 1})
	if err == nil && len(held) > 0 {
		err = fmt.Errorf("%s is locked for saga %s %s", held[0].Target, held[0].SagaType, held[0].SagaID)
	}
	return err
}
