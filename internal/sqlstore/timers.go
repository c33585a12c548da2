package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"tidings.example"
	"tidings.example/timer"
)

// Timers is a [timer.Store] for any database behind database/sql.
type Timers struct {
	Engine
	delay              insertion
	cancel, take, next string
}

var _ timer.Store[*sql.Tx] = (*Timers)(nil)

// NewTimers returns the delayed messages of a database.
func NewTimers(e Engine) *Timers {
	return &Timers{Engine: e,
		delay:  e.insertion(`tidings_timer`, `due_at, `+messageColumns, `(@at, `+messageRow+`)`, ""),
		cancel: e.kept(`DELETE FROM tidings_timer WHERE message_id = ?`),
		take: e.kept(`SELECT ` + messageRead + ` FROM tidings_timer @index(tidings_timer_due)
	WHERE due_at <= @at ORDER BY due_at, position LIMIT ? @skip`),
		next: e.kept(`SELECT micros(due_at) FROM tidings_timer @index(tidings_timer_due) ORDER BY due_at LIMIT 1`),
	}
}

// One statement takes so many rows, and ends once it has so many bytes of payload.
const (
	messageRows  = 200
	messageBytes = 1 << 20
)

// Delay stores messages until due.
func (t *Timers) Delay(ctx context.Context, tx *sql.Tx, due time.Time, ms []tidings.Message) error {
	for len(ms) > 0 {
		n := 0
		var args []any
		for bytes := 0; n < len(ms) && n < messageRows && bytes < messageBytes; n++ {
			var err error
			if args, err = t.messageArgs(append(args, t.Time(due)), &ms[n]); err != nil {
				return fmt.Errorf("delay message %q: %w", ms[n].ID, err)
			}
			bytes += len(ms[n].Payload)
		}
		if _, err := tx.ExecContext(ctx, t.delay.of(n), args...); err != nil {
			return fmt.Errorf("delay messages: %w", err)
		}
		ms = ms[n:]
	}
	return nil
}

// Cancel removes a delayed message.
func (t *Timers) Cancel(ctx context.Context, tx *sql.Tx, id string) (bool, error) {
	n, err := affected(ctx, tx, t.cancel, id)
	if err != nil {
		return false, fmt.Errorf("cancel delayed message %q: %w", id, err)
	}
	return n > 0, nil
}

// Take removes messages that are due, and returns them.
func (t *Timers) Take(ctx context.Context, tx *sql.Tx, now time.Time, limit int) ([]tidings.Message, error) {
	ms, err := t.taken(ctx, tx, now, limit)
	if err != nil {
		return nil, fmt.Errorf("take delayed messages: %w", err)
	}
	return ms, nil
}

func (t *Timers) taken(ctx context.Context, tx *sql.Tx, now time.Time, limit int) ([]tidings.Message, error) {
	if err := t.begin(ctx, tx); err != nil {
		return nil, err
	}
	ms, err := Collect(ctx, tx, t.take, []any{t.Time(now), limit}, func(rows *sql.Rows) (m tidings.Message, err error) {
		if err = scanMessage(rows, &m); err != nil {
			err = fmt.Errorf("message %q: %w", m.ID, err)
		}
		return m, err
	})
	if err != nil {
		return nil, err
	}
	for some := range slices.Chunk(ms, messageRows) {
		args := make([]any, len(some))
		for i := range some {
			args[i] = some[i].ID
		}
		n, err := affected(ctx, tx, t.DeleteTimers(len(some)), args...)
		if err == nil && n != len(some) {
			err = fmt.Errorf("%d of %d rows were there to be removed", n, len(some))
		}
		if err != nil {
			return nil, err
		}
	}
	return ms, nil
}

// Next returns when the next message is due.
func (t *Timers) Next(ctx context.Context) (time.Time, bool, error) {
	return t.earliest(ctx, t.next, "read when the next delayed message is due")
}
