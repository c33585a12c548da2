package customers

import (
	"context"
	"database/sql"
	"fmt"

	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/sqldb"
)

const (
	insertReservation  = `INSERT INTO reservations (order_id, customer_id, amount_cents, state) VALUES (?, ?, ?, ?)`
	releaseReservation = `UPDATE reservations SET state = 'RELEASED' WHERE order_id = ? AND state = 'RESERVED'`
	selectReservation  = `SELECT order_id, customer_id, amount_cents, state FROM reservations WHERE order_id = ?`
)

// A reservation says what became of the credit for one order.
type reservation struct {
	order, customer string
	amount          money.Money
	state           string
}

// The states of a reservation. Only one that is RESERVED counts.
const (
	reserved = "RESERVED"
	refused  = "REFUSED"
	released = "RELEASED"
)

// reservation returns what is recorded of an order; the error matches
// sql.ErrNoRows where that is nothing. No row is locked: two transactions about
// one order never run at the same time, since its events share a lane, and if
// they did, the second insert or release would fail.
func (s store) reservation(ctx context.Context, tx *sql.Tx, order string) (r reservation, err error) {
	row := tx.QueryRowContext(ctx, s.db.Bind(selectReservation), order)
	if err := row.Scan(&r.order, &r.customer, &r.amount, &r.state); err != nil {
		return r, fmt.Errorf("read reservation: %w", err)
	}
	return r, nil
}

func (s store) insertReservation(ctx context.Context, tx *sql.Tx, r reservation) error {
	_, err := tx.ExecContext(ctx, s.db.Bind(insertReservation), r.order, r.customer, r.amount.Cents(), r.state)
	if err != nil {
		return fmt.Errorf("insert reservation: %w", err)
	}
	return nil
}

func (s store) release(ctx context.Context, tx *sql.Tx, order string) error {
	if err := sqldb.MustChange(tx.ExecContext(ctx, s.db.Bind(releaseReservation), order)); err != nil {
		return fmt.Errorf("release reservation: %w", err)
	}
	return nil
}
