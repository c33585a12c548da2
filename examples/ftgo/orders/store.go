package orders

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/sqldb"
	"tidings.example/examples/shared/web"
)

const (
	insertOrder = `INSERT INTO orders (order_id, consumer_id, restaurant_id, line_items, state, idempotency_key) VALUES (?, ?, ?, ?, ?, ?)`
	settleOrder = `UPDATE orders SET state = ?, total_cents = ?, reason = ? WHERE order_id = ? AND state = 'PENDING'`
	selectOrder = `SELECT order_id, consumer_id, restaurant_id, line_items, state, total_cents, reason FROM orders WHERE order_id = ?`
	selectByKey = `SELECT order_id, consumer_id, restaurant_id, line_items, state, total_cents, reason FROM orders WHERE idempotency_key = ?`
	listOrders  = `SELECT order_id, consumer_id, restaurant_id, line_items, state, total_cents, reason FROM orders
		WHERE order_id < ? ORDER BY order_id DESC LIMIT ?`
)

// store is the service's table. Ids grow with time, so their order is that of creation.
type store struct{ db sqldb.DB }

// insert inserts an order; key may be empty.
func (s store) insert(ctx context.Context, tx *sql.Tx, o *Order, key string) error {
	items, err := json.Marshal(o.LineItems)
	if err == nil {
		err = sqldb.MustChange(tx.ExecContext(ctx, s.db.Bind(insertOrder), o.ID, o.ConsumerID, o.RestaurantID, string(items), o.State,
			sql.NullString{String: key, Valid: key != ""}))
	}
	if err != nil {
		return fmt.Errorf("insert order: %w", err)
	}
	return nil
}

// settle ends the wait of a pending order; it fails where the order is not pending. total may be nil.
func (s store) settle(ctx context.Context, tx *sql.Tx, id string, state State, total *money.Money, reason Reason) error {
	var cents sql.NullInt64
	if total != nil {
		cents = sql.NullInt64{Int64: total.Cents(), Valid: true}
	}
	if err := sqldb.MustChange(tx.ExecContext(ctx, s.db.Bind(settleOrder), state, cents, reason, id)); err != nil {
		return fmt.Errorf("settle order %s: %w", id, err)
	}
	return nil
}

// get returns an order; the error matches sql.ErrNoRows where there is none.
func (s store) get(ctx context.Context, id string) (Order, error) {
	return scan(s.db.SQL.QueryRowContext(ctx, s.db.Bind(selectOrder), id))
}

// byKey returns the order of the request with an idempotency key; the error matches sql.ErrNoRows where there is none.
func (s store) byKey(ctx context.Context, key string) (Order, error) {
	return scan(s.db.SQL.QueryRowContext(ctx, s.db.Bind(selectByKey), key))
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
	var items string
	var total sql.NullInt64
	var reason Reason
	if err := row.Scan(&o.ID, &o.ConsumerID, &o.RestaurantID, &items, &o.State, &total, &reason); err != nil {
		return o, fmt.Errorf("read order: %w", err)
	}
	if err := json.Unmarshal([]byte(items), &o.LineItems); err != nil {
		return o, fmt.Errorf("read line items of order %s: %w", o.ID, err)
	}
	if total.Valid {
		known := money.Money(total.Int64)
		o.Total = &known
	}
	if reason != "" {
		o.Reason = &reason
	}
	return o, nil
}
