package mysql

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

// Source is the outbox of a database as a relay sees it. The lease's
// time is the server's clock.
type Source struct {
	db   *DB
	name string
}

var _ relay.Source = (*Source)(nil)

// Name returns the source's name.
func (s *Source) Name() string { return s.name }

const (
	// A row that is there already, under whatever name, stays as it is.
	firstLeaseSQL = `INSERT INTO tidings_relay (source) VALUES (?) ON DUPLICATE KEY UPDATE only_one = 1`

	leaseSQL = `SELECT source, holder, fence, COALESCE(TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires_at), 0),
	epoch, lanes, identity FROM tidings_relay`

	lockLeaseSQL = leaseSQL + ` FOR UPDATE`

	takeLeaseSQL = `UPDATE tidings_relay SET holder = ?, fence = fence + 1,
	expires_at = TIMESTAMPADD(MICROSECOND, ?, UTC_TIMESTAMP(6)) WHERE source = ?`

	countersSQL = `SELECT channel, counters FROM tidings_relay_counters WHERE source = ?`

	plansSQL = `SELECT id, positions, aside FROM tidings_relay_plan WHERE source = ? ORDER BY id`

	// By bytes, since text is compared as if it had no spaces at its end.
	heldRowsSQL = `SELECT CAST(COALESCE(channel, '') AS BINARY) AS c, CAST(COALESCE(message_key, '') AS BINARY) AS k, MAX(retry_asked)
	FROM tidings_outbox_aside GROUP BY c, k ORDER BY c, k`
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
	var state relay.State
	err := s.db.inTx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		if err = s.take(ctx, tx, holder, ttl, &state); err != nil {
			return err
		}
		if err = readLogState(ctx, tx, &state); err != nil {
			return err
		}
		if state.Now, err = s.db.identity(ctx, tx); err != nil {
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
	var source, current string
	var left int64
	row := func() error {
		return tx.QueryRowContext(ctx, lockLeaseSQL).Scan(&source, &current, &state.Fence, &left, &state.Epoch, &state.Lanes, &state.Identity)
	}
	err := row()
	if errors.Is(err, sql.ErrNoRows) {
		if _, err = tx.ExecContext(ctx, firstLeaseSQL, s.name); err == nil {
			err = row()
		}
	}
	if err != nil {
		return err
	}
	switch {
	case source != s.name:
		return fmt.Errorf("the outbox belongs to source %q; a database has one outbox, and its source keeps its name", source)
	case current != "" && current != holder && left > 0:
		return &relay.HeldError{Source: s.name, Holder: current, Expires: time.Duration(left) * time.Microsecond}
	}
	state.Fence++
	_, err = tx.ExecContext(ctx, takeLeaseSQL, holder, ttl.Microseconds(), s.name)
	return err
}

// begin opens a READ COMMITTED transaction: on connections of this package all
// are, on a user's it has to be asked for.
func (db *DB) begin(ctx context.Context) (*sql.Tx, error) {
	return db.inbox.BeginTx(ctx, db.isolation())
}

func (db *DB) isolation() *sql.TxOptions {
	if db.owned {
		return nil
	}
	return &sql.TxOptions{Isolation: sql.LevelReadCommitted}
}

func (db *DB) inTx(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	tx, err := db.begin(ctx)
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

// advise replaces an error by what is missing in the database, if something is.
func (db *DB) advise(ctx context.Context, err error) error {
	if code(err) == codeNoSuchTable {
		if missing := db.Ready(ctx); missing != nil {
			return missing
		}
	}
	return err
}
