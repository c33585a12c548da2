package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

// session is the holder's side of the lease. It reads and commits on
// connections of its own: reading, so that the database can tell it whether
// others have written; committing, because its commits are synced to disk.
type session struct {
	source *Source
	db     *DB
	fence  int64
	ttl    time.Duration

	reader, writer *sql.Conn
	signal         <-chan struct{}
	stopSignal     func()
	wake           waiting
	synced         string // the writer's PRAGMA synchronous
}

var _ relay.Session = (*session)(nil)

func newSession(ctx context.Context, source *Source, fence int64, ttl time.Duration) (*session, error) {
	s := &session{source: source, db: source.db, fence: fence, ttl: ttl, synced: source.db.synchronous,
		wake: waiting{probe: firstProbe}}
	var err error
	if s.reader, err = s.db.sql.Conn(ctx); err != nil {
		return nil, err
	}
	if s.writer, err = s.db.sql.Conn(ctx); err != nil {
		return nil, errors.Join(err, s.reader.Close())
	}
	s.signal, s.stopSignal = s.db.shared.hub.Listen()
	return s, nil
}

const renewSQL = mark + `UPDATE tidings_relay SET expires_at = ? WHERE source = ? AND fence = ?`

// Renew uses a connection of the pool, since it may run beside the other methods.
func (s *session) Renew(ctx context.Context) (relay.Renewal, error) {
	result, err := s.db.sql.ExecContext(ctx, renewSQL, s.db.now().Add(s.ttl).UnixMicro(), s.source.name, s.fence)
	if err == nil {
		err = fenced(result)
	}
	if err != nil {
		return relay.Renewal{}, fmt.Errorf("renew the lease of outbox %q: %w", s.source.name, err)
	}
	held, err := sqlstore.ReadHeldKeys(ctx, s.db.sql, heldRowsSQL)
	if err != nil {
		return relay.Renewal{}, fmt.Errorf("read the held keys of outbox %q: %w", s.source.name, err)
	}
	return relay.Renewal{Held: held}, nil
}

// fenced returns ErrFenced where the statement that asks for the fence has found none.
func fenced(result sql.Result) error {
	n, err := result.RowsAffected()
	if err != nil {
		return err
	}
	if n == 0 {
		return relay.ErrFenced
	}
	return nil
}

const releaseSQL = mark + `UPDATE tidings_relay SET holder = '', expires_at = 0 WHERE source = ? AND fence = ?`

// Release gives up the lease, if it is still held, and the connections.
func (s *session) Release(ctx context.Context) error {
	s.stopSignal()
	_, err := s.db.sql.ExecContext(ctx, releaseSQL, s.source.name, s.fence)
	err = errors.Join(err, s.setSync(ctx, s.db.synchronous), s.writer.Close(), s.reader.Close())
	if err != nil {
		return fmt.Errorf("release the lease of outbox %q: %w", s.source.name, err)
	}
	return nil
}
