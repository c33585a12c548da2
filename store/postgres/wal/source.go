package wal

import (
	"context"
	"errors"
	"sync"
	"time"

	"tidings.example/relay"
	"tidings.example/store/postgres"
)

// Source is the outbox of a database as a relay sees it that can read the log. Its
// sessions are those of the polling source.
type Source struct {
	relay.Source
	db      *postgres.DB
	options Options

	mu sync.Mutex
	// absent is since when no reader was seen of the lease with this fence.
	absent struct {
		fence int64
		since time.Time
	}
}

var _ relay.LogSource = (*Source)(nil)

// New returns the outbox of a database. source is the name that goes out with every
// message; it must stay the same for the life of the outbox.
func New(db *postgres.DB, source string, options Options) *Source {
	return &Source{Source: db.Relay(source), db: db, options: options}
}

// absence is how long a reader must at least not be seen before it counts as dead.
// Between taking the lease and reading it is not seen either, and opens connections
// meanwhile: where the network is slow, that takes longer. So it is given
// absenceFactor times as long as it takes to look for it.
const (
	absence       = 200 * time.Millisecond
	absenceFactor = 10
)

// Acquire takes the lease. A lease that has not run out is taken too if its holder
// has died: the server ends its connections then, and its slot is free. Who only lost
// these connections finds that it is fenced.
func (s *Source) Acquire(ctx context.Context, holder string, ttl time.Duration) (relay.Session, relay.State, error) {
	session, state, err := s.Source.Acquire(ctx, holder, ttl)
	var held *relay.HeldError
	if !errors.As(err, &held) {
		return session, state, err
	}
	// What goes wrong here only makes the take-over as slow as without it.
	asked := time.Now()
	fence, since := s.reader(ctx)
	if since.IsZero() {
		return session, state, err
	}
	patience := max(absence, absenceFactor*time.Since(asked))
	if left := patience - time.Since(since); left > 0 {
		select {
		case <-ctx.Done():
			return session, state, err
		case <-time.After(left):
		}
		again, since := s.reader(ctx)
		if again != fence || since.IsZero() {
			return session, state, err
		}
	}
	if s.db.TakeAway(ctx, s.Name(), fence) != nil {
		return session, state, err
	}
	return s.Source.Acquire(ctx, holder, ttl)
}

// readerSQL has one row if there is a slot: whether anybody reads from it, or has the
// lock of one who is about to.
const readerSQL = `SELECT active OR EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = datoid
		AND classid = $2::bigint::oid AND objid = 'tidings_outbox'::regclass::oid AND objsubid = 2)
	FROM pg_replication_slots WHERE slot_name = $1 AND datoid IS NOT NULL`

// readerLock is the first half of the key of an advisory lock ('tdnl' as four bytes),
// the oid of the outbox being the second: whoever opens or reads the log shares it.
const readerLock = 1952738924

// reader returns the fence of the lease, and since when its holder, which reads from
// the log, was not seen; the zero time if it is there, or does not read the log.
func (s *Source) reader(ctx context.Context) (fence int64, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, err := s.db.Holder(ctx, s.Name())
	there := true
	if err == nil && h.FromLog && h.Good {
		var name string
		if name, _, err = s.db.LogNames(ctx); err == nil {
			err = s.db.Pool().QueryRow(ctx, readerSQL, name, readerLock).Scan(&there)
		}
	}
	switch {
	case err != nil || there:
		s.absent.since = time.Time{}
	case s.absent.fence != h.Fence || s.absent.since.IsZero():
		s.absent.since = time.Now()
	}
	s.absent.fence = h.Fence
	return h.Fence, s.absent.since
}
