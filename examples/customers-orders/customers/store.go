package customers

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"

	"tidings.example/examples/shared/sqldb"
	"tidings.example/examples/shared/web"
)

const (
	insertCustomer = `INSERT INTO customers (customer_id, name, limit_cents) VALUES (?, ?, ?)`
	updateReserved = `UPDATE customers SET reserved_cents = ? WHERE customer_id = ?`
	selectCustomer = `SELECT customer_id, name, limit_cents, reserved_cents FROM customers WHERE customer_id = ?`
	listCustomers  = `SELECT customer_id, name, limit_cents, reserved_cents FROM customers
		WHERE customer_id < ? ORDER BY customer_id DESC LIMIT ?`
)

// store is the service's tables. Ids grow with time, so their order is that of creation.
type store struct{ db sqldb.DB }

func (s store) insert(ctx context.Context, tx *sql.Tx, c *Customer) error {
	if err := sqldb.MustChange(tx.ExecContext(ctx, s.db.Bind(insertCustomer), c.ID, c.Name, c.Limit.Cents())); err != nil {
		return fmt.Errorf("insert customer: %w", err)
	}
	return nil
}

// lock returns a customer that nobody else can change until tx ends. The error
// matches sql.ErrNoRows where there is none. It reads what is committed now,
// also where tx has read before: MySQL would otherwise show a limit of the past.
func (s store) lock(ctx context.Context, tx *sql.Tx, id string) (Customer, error) {
	return scan(tx.QueryRowContext(ctx, s.db.BindLocking(selectCustomer), id))
}

// updateReserved writes the reserved credit of a customer that tx has locked.
func (s store) updateReserved(ctx context.Context, tx *sql.Tx, c *Customer) error {
	if err := sqldb.MustChange(tx.ExecContext(ctx, s.db.Bind(updateReserved), c.Reserved.Cents(), c.ID)); err != nil {
		return fmt.Errorf("update reserved credit: %w", err)
	}
	return nil
}

// get returns a customer; the error matches sql.ErrNoRows where there is none.
func (s store) get(ctx context.Context, id string) (Customer, error) {
	return scan(s.db.SQL.QueryRowContext(ctx, s.db.Bind(selectCustomer), id))
}

// list returns the customers of a page and, if there are more, one of them.
func (s store) list(ctx context.Context, p web.Page) ([]Customer, error) {
	rows, err := s.db.SQL.QueryContext(ctx, s.db.Bind(listCustomers), cmp.Or(p.After, sqldb.AfterAll), p.Limit+1)
	if err != nil {
		return nil, fmt.Errorf("list customers: %w", err)
	}
	return sqldb.Collect(rows, func() (Customer, error) { return scan(rows) })
}

func scan(row interface{ Scan(...any) error }) (c Customer, err error) {
	if err := row.Scan(&c.ID, &c.Name, &c.Limit, &c.Reserved); err != nil {
		return c, fmt.Errorf("read customer: %w", err)
	}
	return c, nil
}
