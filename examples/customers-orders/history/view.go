package history

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"

	"tidings.example/examples/customers-orders/events"
	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/sqldb"
	"tidings.example/examples/shared/web"
)

// view is the service's tables.
type view struct{ db sqldb.DB }

// An upsert has no common spelling. Each of them leaves a row alone that is
// further on already; MySQL assigns from left to right, so progress comes last.
const (
	upsertCustomer = `INSERT INTO history_customers (customer_id, name, limit_cents) VALUES (?, ?, ?)
		ON CONFLICT (customer_id) DO NOTHING`
	upsertCustomerMySQL = `INSERT INTO history_customers (customer_id, name, limit_cents) VALUES (?, ?, ?)
		ON DUPLICATE KEY UPDATE customer_id = customer_id`
	upsertOrder = `INSERT INTO history_orders (order_id, customer_id, total_cents, state, reason, progress) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (order_id) DO UPDATE SET state = excluded.state, reason = excluded.reason, progress = excluded.progress
		WHERE history_orders.progress < excluded.progress`
	upsertOrderMySQL = `INSERT INTO history_orders (order_id, customer_id, total_cents, state, reason, progress) VALUES (?, ?, ?, ?, ?, ?)
		ON DUPLICATE KEY UPDATE
			state = IF(progress < VALUES(progress), VALUES(state), state),
			reason = IF(progress < VALUES(progress), VALUES(reason), reason),
			progress = GREATEST(progress, VALUES(progress))`
	selectCustomer = `SELECT name, limit_cents FROM history_customers WHERE customer_id = ?`
	listOrders     = `SELECT order_id, total_cents, state, reason FROM history_orders
		WHERE customer_id = ? AND order_id < ? ORDER BY order_id DESC LIMIT ?`
)

// progress is how far an order in a state has got.
var progress = map[events.State]int{events.Pending: 1, events.Approved: 2, events.Cancelled: 3}

func (v *view) putCustomer(ctx context.Context, tx *sql.Tx, c events.CustomerCreated) error {
	statement := v.statement(upsertCustomer, upsertCustomerMySQL)
	if _, err := tx.ExecContext(ctx, statement, c.CustomerID, c.Name, c.CreditLimit.Cents()); err != nil {
		return fmt.Errorf("put customer: %w", err)
	}
	return nil
}

func (v *view) putOrder(ctx context.Context, tx *sql.Tx, o events.Order, state events.State, reason events.Reason) error {
	statement := v.statement(upsertOrder, upsertOrderMySQL)
	_, err := tx.ExecContext(ctx, statement, o.OrderID, o.CustomerID, o.OrderTotal.Cents(), state, reason, progress[state])
	if err != nil {
		return fmt.Errorf("put order: %w", err)
	}
	return nil
}

func (v *view) statement(standard, mysql string) string {
	if v.db.Kind == "mysql" {
		return mysql
	}
	return v.db.Bind(standard)
}

// customer is the first half of the answer, an order one of its second half.
type customer struct {
	name  string
	limit money.Money
}

type order struct {
	ID     string        `json:"orderId"`
	State  events.State  `json:"orderState"`
	Total  money.Money   `json:"orderTotal"`
	Reason events.Reason `json:"cancellationReason,omitempty"`
}

// customer returns what is known of a customer; the error matches
// sql.ErrNoRows where that is nothing.
func (v *view) customer(ctx context.Context, id string) (c customer, err error) {
	row := v.db.SQL.QueryRowContext(ctx, v.db.Bind(selectCustomer), id)
	if err := row.Scan(&c.name, &c.limit); err != nil {
		return c, fmt.Errorf("read customer: %w", err)
	}
	return c, nil
}

// orders returns a customer's orders of a page and, if there are more, one of them.
func (v *view) orders(ctx context.Context, customerID string, p web.Page) ([]order, error) {
	rows, err := v.db.SQL.QueryContext(ctx, v.db.Bind(listOrders), customerID, cmp.Or(p.After, sqldb.AfterAll), p.Limit+1)
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	return sqldb.Collect(rows, func() (o order, err error) {
		if err := rows.Scan(&o.ID, &o.Total, &o.State, &o.Reason); err != nil {
			return o, fmt.Errorf("read order: %w", err)
		}
		return o, nil
	})
}
