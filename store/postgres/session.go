package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tidings.example/relay"
)

// session is the holder of a lease. It has two connections of its own, outside
// the pool: one for Read, Commit and Wait, which listens, and one for Renew.
type session struct {
	source *Source
	fence  int64
	ttl    time.Duration
	table  uint32 // the oid of the outbox

	work    *pgx.Conn
	renewal struct {
		sync.Mutex
		conn *pgx.Conn
	}

	decode decoder
	sleep  sleep
	floor  floor
}

var _ relay.Session = (*session)(nil)

// settingsSQL makes a connection fit for the relay's statements. All of them find
// their rows by index; statistics of a table that is empty one moment and full
// the next would tell otherwise. A number that was published must have
// survived, whatever is good enough for others.
const settingsSQL = `SELECT set_config('enable_seqscan', 'off', false), set_config('enable_bitmapscan', 'off', false),
	set_config('max_parallel_workers_per_gather', '0', false), set_config('jit', 'off', false), set_config('plan_cache_mode', 'force_generic_plan', false),
	set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false),
	set_config('default_transaction_isolation', 'read committed', false), set_config('default_transaction_read_only', 'off', false)`

func newSession(ctx context.Context, s *Source, fence int64, ttl time.Duration) (*session, error) {
	x := &session{source: s, fence: fence, ttl: ttl}
	var err error
	if x.work, err = s.db.dedicated(ctx, func(*pgconn.PgConn, *pgconn.Notification) { x.sleep.notified = true }); err != nil {
		return nil, err
	}
	if err = x.prepare(ctx); err == nil {
		x.renewal.conn, err = s.db.dedicated(ctx, nil)
	}
	if err != nil {
		_ = x.work.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return x, nil
}

func (x *session) prepare(ctx context.Context) error {
	if _, err := x.work.Exec(ctx, settingsSQL); err != nil {
		return fmt.Errorf("prepare the relay's connection: %w", err)
	}
	if err := x.work.QueryRow(ctx, `SELECT 'tidings_outbox'::regclass::oid`).Scan(&x.table); err != nil {
		return fmt.Errorf("find the outbox: %w", err)
	}
	var cache int64
	switch err := x.work.QueryRow(ctx, sequenceCacheSQL).Scan(&cache); {
	case errors.Is(err, pgx.ErrNoRows): // positions come from elsewhere
	case err != nil:
		return fmt.Errorf("find the outbox's sequence: %w", err)
	}
	x.floor.off = cache != 1
	if _, err := x.work.Exec(ctx, "LISTEN "+pgx.Identifier{fmt.Sprintf("tidings_outbox_%d", x.table)}.Sanitize()); err != nil {
		return fmt.Errorf("listen to the outbox: %w", err)
	}
	return nil
}

// dedicated opens a connection like those of the pool.
func (db *DB) dedicated(ctx context.Context, notified pgconn.NotificationHandler) (*pgx.Conn, error) {
	pool := db.pool.Config()
	config := pool.ConnConfig.Copy()
	config.OnNotification = notified
	if pool.BeforeConnect != nil {
		if err := pool.BeforeConnect(ctx, config); err != nil {
			return nil, fmt.Errorf("prepare to connect: %w", err)
		}
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, explainConnect(config, err)
	}
	if pool.AfterConnect != nil {
		if err := pool.AfterConnect(ctx, conn); err != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
			return nil, fmt.Errorf("prepare the connection: %w", err)
		}
	}
	return conn, nil
}

const renewSQL = `UPDATE tidings_relay SET expires_at = clock_timestamp() + $3 * interval '1 microsecond'
	WHERE source = $1 AND fence = $2`

// Renew extends the lease. Where its connection was lost it makes a new one, as
// the lease may still be good.
func (x *session) Renew(ctx context.Context) (relay.Renewal, error) {
	x.renewal.Lock()
	defer x.renewal.Unlock()
	if x.renewal.conn == nil || x.renewal.conn.IsClosed() {
		conn, err := x.source.db.dedicated(ctx, nil)
		if err != nil {
			return relay.Renewal{}, fmt.Errorf("renew the lease: %w", err)
		}
		x.renewal.conn = conn
	}
	var renewal relay.Renewal
	var renewed int64
	err := pgxRunner{x.renewal.conn}.run(ctx,
		statement{sql: renewSQL, args: []any{x.source.name, x.fence, x.ttl.Microseconds()}, affected: &renewed},
		readHeld(&renewal.Held),
		readAsked(&renewal.Asked),
	)
	switch {
	case err != nil:
		return relay.Renewal{}, fmt.Errorf("renew the lease: %w", err)
	case renewed == 0:
		return relay.Renewal{}, relay.ErrFenced
	}
	return renewal, nil
}

// Release gives the lease up and closes the session's connections. One of them may
// be broken, and so may the pool's after the server was restarted.
func (x *session) Release(ctx context.Context) error {
	x.renewal.Lock()
	defer x.renewal.Unlock()
	err := pgconn.ErrConnClosed
	for _, conn := range []*pgx.Conn{x.work, x.renewal.conn} {
		if conn == nil || conn.IsClosed() {
			continue
		}
		if err != nil {
			_, err = conn.Exec(ctx, releaseLeaseSQL, x.source.name, x.fence)
		}
		// Closing says goodbye to the server; a connection that cannot is closed as well.
		_ = conn.Close(ctx)
	}
	if err != nil {
		err = x.source.release(ctx, x.fence)
	}
	if err != nil {
		return fmt.Errorf("release the lease: %w", err)
	}
	return nil
}
