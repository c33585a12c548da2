package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tidings.example"
	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

// Source is the outbox of a database as a polling relay sees it. The lease's
// time is this machine's clock: all processes that share the file have it.
type Source struct {
	db   *DB
	name string
}

var _ relay.Source = (*Source)(nil)

// Name returns the source's name.
func (s *Source) Name() string { return s.name }

const (
	leaseSQL = mark + `SELECT source, holder, fence, expires_at, epoch, lanes, identity FROM tidings_relay`

	firstLeaseSQL = mark + `INSERT INTO tidings_relay (source) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM tidings_relay)`

	takeLeaseSQL = mark + `UPDATE tidings_relay SET holder = ?, fence = fence + 1, expires_at = ? WHERE source = ?`

	countersSQL = mark + `SELECT channel, counters FROM tidings_relay_counters WHERE source = ?`

	plansSQL = mark + `SELECT id, positions, 0 FROM tidings_relay_plan WHERE source = ? ORDER BY id`

	heldRowsSQL = mark + `SELECT CAST(COALESCE(channel, '') AS TEXT), CAST(COALESCE(message_key, '') AS TEXT), MAX(retry_asked)
	FROM tidings_outbox_aside GROUP BY 1, 2 ORDER BY 1, 2`
)

// Acquire takes the lease. An outbox has one source for ever: another name is
// an error, since two names would publish the same rows twice.
func (s *Source) Acquire(ctx context.Context, holder string, ttl time.Duration) (relay.Session, relay.State, error) {
	state, err := s.acquire(ctx, holder, ttl)
	if err != nil {
		return nil, relay.State{}, err
	}
	session, err := newSession(ctx, s, state.Fence, ttl)
	if err != nil {
		return nil, relay.State{}, fmt.Errorf("acquire the lease of outbox %q: %w", s.name, err)
	}
	return session, state, nil
}

func (s *Source) acquire(ctx context.Context, holder string, ttl time.Duration) (relay.State, error) {
	if err := tidings.ValidateName("source", s.name); err != nil {
		return relay.State{}, err
	}
	state := relay.State{Reading: relay.FromTable}
	err := s.db.inTx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		if err = s.take(ctx, tx, holder, ttl, &state); err != nil {
			return err
		}
		state.Now, err = identity(s.db.path)
		if err != nil {
			return err
		}
		if state.Counters, err = sqlstore.ReadCounters(ctx, tx, countersSQL, s.name); err != nil {
			return err
		}
		if state.Plans, err = sqlstore.ReadPlans(ctx, tx, plansSQL, s.name); err != nil {
			return err
		}
		state.Held, err = sqlstore.ReadHeldKeys(ctx, tx, heldRowsSQL)
		return err
	})
	if err != nil {
		return relay.State{}, fmt.Errorf("acquire the lease of outbox %q: %w", s.name, s.db.advise(ctx, err))
	}
	return state, nil
}

func (s *Source) take(ctx context.Context, tx *sql.Tx, holder string, ttl time.Duration, state *relay.State) error {
	// The write comes first: it is what makes this transaction wait for others
	// where it did not begin as a write transaction.
	if _, err := tx.ExecContext(ctx, firstLeaseSQL, s.name); err != nil {
		return err
	}
	var source, current string
	var expires int64
	err := tx.QueryRowContext(ctx, leaseSQL).Scan(&source, &current, &state.Fence, &expires,
		&state.Epoch, &state.Lanes, &state.Identity)
	if err != nil {
		return err
	}
	now := s.db.now()
	left := time.UnixMicro(expires).Sub(now)
	switch {
	case source != s.name:
		return fmt.Errorf("the outbox belongs to source %q; a database has one outbox, and its source keeps its name", source)
	case current != "" && current != holder && left > 0:
		return &relay.HeldError{Source: s.name, Holder: current, Expires: left}
	}
	state.Fence++
	_, err = tx.ExecContext(ctx, takeLeaseSQL, holder, now.Add(ttl).UnixMicro(), s.name)
	return err
}

// inTx runs fn in a write transaction.
func (db *DB) inTx(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	tx, err := db.sql.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if !done { // fn failed or panicked
			_ = tx.Rollback()
		}
	}()
	if err := fn(ctx, tx); err != nil {
		return err
	}
	done = true
	return tx.Commit()
}

// advise adds to an error that a missing table explains what is missing.
func (db *DB) advise(ctx context.Context, err error) error {
	var held *relay.HeldError
	if ctx.Err() != nil || errors.As(err, &held) || transient(err) {
		return err
	}
	if missing := db.Ready(ctx); missing != nil {
		return missing
	}
	return err
}
