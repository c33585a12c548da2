package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings.example"
	"tidings.example/timer"
)

// Timers keeps delayed messages, in transactions of type Tx.
type Timers[Tx any] struct {
	db   *DB
	on   func(Tx) runner
	inTx func(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
}

var (
	_ timer.Store[pgx.Tx]  = (*Timers[pgx.Tx])(nil)
	_ timer.Store[*sql.Tx] = (*Timers[*sql.Tx])(nil)
)

var delaySQL = insertMessage("tidings_timer", "due_at")

const (
	cancelSQL = `DELETE FROM tidings_timer WHERE message_id = $1`

	takeSQL = `WITH taken AS (DELETE FROM tidings_timer WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM tidings_timer WHERE due_at <= $1 ORDER BY due_at, position LIMIT $2 FOR UPDATE SKIP LOCKED))
	RETURNING due_at, position, ` + messageColumns + `)
	SELECT ` + messageColumns + ` FROM taken ORDER BY due_at, position`

	nextTimerSQL = `SELECT due_at FROM tidings_timer ORDER BY due_at, position LIMIT 1`
)

// InTx runs fn in a READ COMMITTED transaction.
func (t *Timers[Tx]) InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	return t.inTx(ctx, fn)
}

// Transient is that of [Inbox.Transient].
func (t *Timers[Tx]) Transient(err error) bool { return transient(err) }

// Delay stores messages until due, in one round trip (in one for each message
// with database/sql). An id that is there already is an error.
func (t *Timers[Tx]) Delay(ctx context.Context, tx Tx, due time.Time, ms []tidings.Message) error {
	if len(ms) == 0 {
		return nil
	}
	all := make([]statement, len(ms))
	for i := range ms {
		args, err := messageArgs(&ms[i], due)
		if err != nil {
			return fmt.Errorf("delay: %w", err)
		}
		all[i] = statement{sql: delaySQL, args: args}
	}
	if err := t.on(tx).run(ctx, all...); err != nil {
		return fmt.Errorf("delay messages: %w", t.db.advise(ctx, err))
	}
	return nil
}

// Cancel removes a delayed message. It waits for a transaction that takes it.
func (t *Timers[Tx]) Cancel(ctx context.Context, tx Tx, id string) (bool, error) {
	var n int64
	if err := t.on(tx).run(ctx, statement{sql: cancelSQL, args: []any{id}, affected: &n}); err != nil {
		return false, fmt.Errorf("cancel delayed message %q: %w", id, t.db.advise(ctx, err))
	}
	return n > 0, nil
}

// Take removes and returns the messages that are due.
func (t *Timers[Tx]) Take(ctx context.Context, tx Tx, now time.Time, limit int) (taken []tidings.Message, err error) {
	err = t.on(tx).run(ctx, statement{sql: takeSQL, args: []any{now, limit}, row: func(scan func(...any) error) error {
		m, err := scanMessage(scan)
		taken = append(taken, m)
		return err
	}})
	if err != nil {
		return nil, fmt.Errorf("take delayed messages: %w", t.db.advise(ctx, err))
	}
	return taken, nil
}

// Next returns when the next message is due.
func (t *Timers[Tx]) Next(ctx context.Context) (due time.Time, ok bool, err error) {
	if due, ok, err = t.db.first(ctx, nextTimerSQL); err != nil {
		return due, false, fmt.Errorf("read when the next message is due: %w", err)
	}
	return due, ok, nil
}
