package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings.example"
	"tidings.example/relay"
)

// Source is the outbox of a database as a polling relay sees it.
type Source struct {
	db   *DB
	name string
}

var _ relay.Source = (*Source)(nil)

// Name returns the source's name.
func (s *Source) Name() string { return s.name }

const (
	firstLeaseSQL = `INSERT INTO tidings_relay (source) SELECT $1::text WHERE NOT EXISTS (SELECT 1 FROM tidings_relay)
	ON CONFLICT DO NOTHING`

	// Waiting for the row, it also waits for a commit of the relay before, and
	// what the next statements read has that commit in it.
	takeLeaseSQL = `UPDATE tidings_relay
	SET holder = $2, fence = fence + 1, expires_at = clock_timestamp() + $3 * interval '1 microsecond'
	WHERE source = $1 AND (holder = '' OR holder = $2 OR expires_at <= clock_timestamp())
	RETURNING fence, epoch, lanes, identity, made`

	leaseSQL = `SELECT source, holder, fence, epoch, (extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint
	FROM tidings_relay WHERE isfinite(expires_at)
	UNION ALL SELECT source, holder, fence, epoch, 0 FROM tidings_relay WHERE NOT isfinite(expires_at)`

	countersSQL = `SELECT channel, counters FROM tidings_relay_counters WHERE source = $1`

	plansSQL = `SELECT id, positions, aside FROM tidings_relay_plan WHERE source = $1 ORDER BY id`

	// Keys are compared as far as they are read; see readColumns.
	heldRowsSQL = `SELECT left(COALESCE(channel, ''), 1000), left(COALESCE(message_key, ''), 1000), bool_or(retry_asked)
	FROM tidings_outbox_aside GROUP BY 1, 2 ORDER BY 1, 2`
)

// Acquire takes the lease. An outbox has one source for ever: another name is an
// error, since two names would publish the same rows twice.
func (s *Source) Acquire(ctx context.Context, holder string, ttl time.Duration) (relay.Session, relay.State, error) {
	state, err := s.acquire(ctx, holder, ttl)
	if err != nil {
		return nil, relay.State{}, fmt.Errorf("acquire the lease of outbox %q: %w", s.name, s.db.advise(ctx, err))
	}
	x, err := newSession(ctx, s, state.Fence, ttl)
	if err != nil {
		// The lease would keep others away for nothing. If this fails it runs out.
		_ = s.release(context.WithoutCancel(ctx), state.Fence)
		return nil, relay.State{}, fmt.Errorf("acquire the lease of outbox %q: %w", s.name, err)
	}
	return x, state, nil
}

func (s *Source) acquire(ctx context.Context, holder string, ttl time.Duration) (relay.State, error) {
	if err := tidings.ValidateName("source", s.name); err != nil {
		return relay.State{}, err
	}
	state, err := s.take(ctx, holder, ttl)
	if errors.Is(err, pgx.ErrNoRows) {
		return relay.State{}, s.taken(ctx)
	}
	return state, err
}

func (s *Source) take(ctx context.Context, holder string, ttl time.Duration) (relay.State, error) {
	state := relay.State{Counters: map[string][]byte{}}
	err := pgx.BeginTxFunc(ctx, s.db.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		var made string
		taken := false
		err := onPgx(tx).run(ctx,
			statement{sql: firstLeaseSQL, args: []any{s.name}},
			statement{sql: takeLeaseSQL, args: []any{s.name, holder, ttl.Microseconds()}, row: func(scan func(...any) error) error {
				taken = true
				return scan(&state.Fence, &state.Epoch, &state.Lanes, &state.Identity, &made)
			}},
		)
		if err == nil && !taken {
			err = pgx.ErrNoRows
		}
		if err != nil {
			return err
		}
		if state.Now, err = identity(ctx, tx, made); err != nil {
			return err
		}
		return onPgx(tx).run(ctx,
			statement{sql: countersSQL, args: []any{s.name}, row: func(scan func(...any) error) error {
				var channel string
				var encoded []byte
				err := scan(&channel, &encoded)
				state.Counters[channel] = encoded
				return err
			}},
			statement{sql: plansSQL, args: []any{s.name}, row: func(scan func(...any) error) error {
				var p relay.Plan
				err := scan(&p.ID, &p.Positions, &p.Aside)
				state.Plans = append(state.Plans, p)
				return err
			}},
			readHeld(&state.Held),
			readLogState(&state),
		)
	})
	return state, err
}

func readHeld(into *[]relay.HeldKey) statement {
	return statement{sql: heldRowsSQL, row: func(scan func(...any) error) error {
		var k relay.HeldKey
		err := scan(&k.Channel, &k.Key, &k.Retry)
		*into = append(*into, k)
		return err
	}}
}

// taken says why the lease could not be taken.
func (s *Source) taken(ctx context.Context) error {
	var source, current, epoch string
	var fence, micros int64
	err := s.db.pool.QueryRow(ctx, leaseSQL).Scan(&source, &current, &fence, &epoch, &micros)
	switch {
	case err != nil:
		return err
	case source != s.name:
		return fmt.Errorf("the outbox belongs to source %q; a database has one outbox, and its source keeps its name", source)
	}
	// It may have run out meanwhile: then it is free at the next attempt.
	return &relay.HeldError{Source: s.name, Holder: current, Expires: max(time.Duration(micros)*time.Microsecond, 0)}
}

const releaseLeaseSQL = `UPDATE tidings_relay SET holder = '', expires_at = clock_timestamp() WHERE source = $1 AND fence = $2`

// release gives the lease up, unless somebody else has it by now.
func (s *Source) release(ctx context.Context, fence int64) error {
	_, err := s.db.pool.Exec(ctx, releaseLeaseSQL, s.name, fence)
	return err
}
