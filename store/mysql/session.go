package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

// session is the holder's side of the lease. It reads and commits on a
// connection of its own.
type session struct {
	source *Source
	db     *DB
	fence  int64
	ttl    time.Duration

	conn       *sql.Conn
	signal     <-chan struct{}
	stopSignal func()
	wake       waiting
	// large is set while reads end because of their bytes.
	large bool
}

var _ relay.Session = (*session)(nil)

func newSession(ctx context.Context, source *Source, fence int64, ttl time.Duration) (*session, error) {
	conn, err := source.db.relay.Conn(ctx)
	if err != nil {
		return nil, err
	}
	source.db.removal.stale.Store(true)
	s := &session{source: source, db: source.db, fence: fence, ttl: ttl, conn: conn}
	s.signal, s.stopSignal = s.db.hub.Listen()
	return s, nil
}

const renewSQL = `UPDATE tidings_relay SET expires_at = TIMESTAMPADD(MICROSECOND, ?, UTC_TIMESTAMP(6)) WHERE source = ? AND fence = ?`

// Renew uses a connection of the pool, since it may run beside the other methods.
func (s *session) Renew(ctx context.Context) (relay.Renewal, error) {
	result, err := s.db.inbox.ExecContext(ctx, renewSQL, s.ttl.Microseconds(), s.source.name, s.fence)
	if err == nil {
		var n int64
		// The time has changed by microseconds at least, so the row that is
		// found is also counted as changed.
		if n, err = result.RowsAffected(); err == nil && n == 0 {
			err = relay.ErrFenced
		}
	}
	if err != nil {
		return relay.Renewal{}, fmt.Errorf("renew the lease of outbox %q: %w", s.source.name, err)
	}
	held, err := sqlstore.ReadHeldKeys(ctx, s.db.inbox, heldRowsSQL)
	if err != nil {
		return relay.Renewal{}, fmt.Errorf("read the held keys of outbox %q: %w", s.source.name, err)
	}
	renewal := relay.Renewal{Held: held}
	err = s.db.inbox.QueryRowContext(ctx, askedSQL).Scan(&renewal.Asked)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return relay.Renewal{}, fmt.Errorf("read what was asked of the relay of outbox %q: %w", s.source.name, err)
	}
	return renewal, nil
}

const releaseSQL = `UPDATE tidings_relay SET holder = '', expires_at = NULL WHERE source = ? AND fence = ?`

const freeLocksSQL = `DO RELEASE_ALL_LOCKS()`

// Release gives up the lease, if it is still held, and the connection.
func (s *session) Release(ctx context.Context) error {
	s.stopSignal()
	_, err := s.db.inbox.ExecContext(ctx, releaseSQL, s.source.name, s.fence)
	// The connection may live on in the pool, and with it a reader's lock. An
	// error is that of a lost connection.
	_, _ = s.conn.ExecContext(ctx, freeLocksSQL)
	if e := s.conn.Close(); !errors.Is(e, sql.ErrConnDone) { // else it was lost
		err = errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("release the lease of outbox %q: %w", s.source.name, err)
	}
	return nil
}
