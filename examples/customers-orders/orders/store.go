package orders

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"

	"tidings.example/examples/shared/sqldb"
	"tidings.example/examples/shared/web"
)

const (
	insertOrder = `INSERT INTO orders (order_id, customer_id, total_cents, state) VALUES (?, ?, ?, ?)`
	updateOrder = `UPDATE orders SET state = ?, reason = ? WHERE order_id = ?`
	selectOrder = `SELECT order_id, customer_id, total_cents, state, reason FROM orders WHERE order_id = ?`
	listOrders  = `SELECT order_id, customer_id, total_cents, state, reason FROM orders WHERE order_id < ? ORDER BY order_id DESC LIMIT ?`
)

// store is the service's table. Ids grow with time, so their order is that of creation.
type store struct{ db sqldb.DB }

func (s store) insert(ctx context.Context, tx *sql.Tx, o *Order) error {
	if err := sqldb.MustChange(tx.ExecContext(ctx, s.db.Bind(insertOrder), o.ID, o.CustomerID, o.Total.Cents(), o.State)); err != nil {
		return fmt.Errorf("insert order: %w", err)
	}
	return nil
}

func (s store) update(ctx context.Context, tx *sql.Tx, o *Order) error {
	if err := sqldb.MustChange(tx.ExecContext(ctx, s.db.Bind(updateOrder), o.State, o.Reason, o.ID)); err != nil {
		return fmt.Errorf("update order: %w", err)
	}
	return nil
}

// lock returns an order that nobody else can change until tx ends. The error
// matches sql.ErrNoRows where there is none.
func (s store) lock(ctx context.Context, tx *sql.Tx, id string) (Order, error) {
	return scan(tx.QueryRowContext(ctx, s.db.BindLocking(selectOrder), id))
}

// get returns an order; the error matches sql.ErrNoRows where there is none.
func (s store) get(ctx context.Context, id string) (Order, error) {
	return scan(s.db.SQL.QueryRowContext(ctx, s.db.Bind(selectOrder), id))
}

// list returns the orders of a page and, if there are more, one of them.
func (s store) list(ctx context.Context, p web.Page) ([]Order, error) {
	rows, err := s.db.SQL.QueryContext(ctx, s.db.Bind(listOrders), cmp.Or(p.After, sqldb.AfterAll), p.Limit+1)
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	return sqldb.Collect(rows, func() (Order, error) { return scan(rows) })
}

func scan(row interface{ Scan(...any) error }) (o Order, err error) {
	if err := row.Scan(&o.ID, &o.CustomerID, &o.Total, &o.State, &o.Reason); err != nil {
		return o, fmt.Errorf("read order: %w", err)
	}
	return o, nil
}
