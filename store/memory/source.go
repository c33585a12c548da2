package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"tidings.example"
	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

// leaseRow is what a source remembers between relays.
type leaseRow struct {
	source, holder string
	fence          int64
	expires        time.Time
	epoch          string
	lanes          int
	// identity is what it was when the epoch was opened, now what it is.
	identity, now string
	counters      map[string][]byte
	plans         []relay.Plan
}

func newLease() leaseRow { return leaseRow{now: tidings.NewID(), counters: map[string][]byte{}} }

// A Source is the outbox as a relay sees it. The lease's time is the process's
// clock.
type Source struct {
	db   *DB
	name string
}

var _ relay.Source = (*Source)(nil)

// Name is the source's name.
func (s *Source) Name() string { return s.name }

// Acquire takes the lease. An outbox has one source for ever: another name is
// an error.
func (s *Source) Acquire(_ context.Context, holder string, ttl time.Duration) (relay.Session, relay.State, error) {
	if err := tidings.ValidateName("source", s.name); err != nil {
		return nil, relay.State{}, fmt.Errorf("acquire the lease: %w", err)
	}
	db := s.db
	db.mu.Lock()
	defer db.mu.Unlock()
	l := &db.lease
	left := l.expires.Sub(db.now())
	switch {
	case l.source != "" && l.source != s.name:
		return nil, relay.State{}, fmt.Errorf("acquire the lease of outbox %q: the outbox belongs to source %q, and its source keeps its name", s.name, l.source)
	case l.holder != "" && l.holder != holder && left > 0:
		return nil, relay.State{}, &relay.HeldError{Source: s.name, Holder: l.holder, Expires: left}
	}
	l.source, l.holder, l.expires = s.name, holder, db.now().Add(ttl)
	l.fence++
	state := relay.State{
		Fence: l.fence, Reading: relay.FromTable, Epoch: l.epoch, Lanes: l.lanes, Identity: l.identity, Now: l.now,
		Counters: maps.Clone(l.counters), Plans: slices.Clone(l.plans), Held: db.outbox.held(),
	}
	return &session{db: db, fence: l.fence, ttl: ttl}, state, nil
}

// Restore makes the database look like another one than before, as after a
// restore from a backup: the next relay that acquires the lease finds it out.
func (db *DB) Restore() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.lease.now = tidings.NewID()
}

type session struct {
	db    *DB
	fence int64
	ttl   time.Duration
	// read is the number of commits that the last Read has seen.
	read uint64
}

var _ relay.Session = (*session)(nil)

// Renew extends the lease.
func (s *session) Renew(context.Context) (relay.Renewal, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if s.db.lease.fence != s.fence {
		return relay.Renewal{}, fmt.Errorf("renew the lease: %w", relay.ErrFenced)
	}
	s.db.lease.expires = s.db.now().Add(s.ttl)
	return relay.Renewal{Held: s.db.outbox.held()}, nil
}

// Read returns committed rows.
func (s *session) Read(_ context.Context, q relay.Query) ([]relay.Row, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	s.read = s.db.outbox.commits
	return s.db.outbox.read(q), nil
}

// Commit makes the change.
func (s *session) Commit(_ context.Context, c relay.Change) error {
	if err := sqlstore.RefuseLog(&c); err != nil {
		return err
	}
	db := s.db
	db.mu.Lock()
	defer db.mu.Unlock()
	l := &db.lease
	if l.fence != s.fence {
		return fmt.Errorf("commit: %w", relay.ErrFenced)
	}
	if c.Epoch != nil {
		l.epoch, l.lanes, l.identity = c.Epoch.Name, c.Epoch.Lanes, c.Epoch.Identity
		l.counters, l.plans = map[string][]byte{}, nil
	}
	l.plans = slices.DeleteFunc(slices.Clone(l.plans), func(p relay.Plan) bool { return slices.Contains(c.DonePlans, p.ID) })
	for channel, encoded := range c.Counters {
		l.counters[channel] = slices.Clone(encoded)
	}
	if c.Plan != nil {
		l.plans = append(l.plans, relay.Plan{ID: c.Plan.ID, Positions: slices.Clone(c.Plan.Positions)})
		slices.SortFunc(l.plans, func(a, b relay.Plan) int { return int(a.ID - b.ID) })
	}
	db.outbox.removeAll(c.Done)
	for _, a := range c.SetAside {
		db.outbox.setAside(a, db.now())
	}
	for _, key := range c.Return {
		db.outbox.giveBack(key)
	}
	return nil
}

// Wait returns after a commit that has appended, at once if the last Read has
// not seen it.
func (s *session) Wait(ctx context.Context, idle time.Duration) error {
	s.db.mu.Lock()
	commits, more := s.db.outbox.commits, s.db.outbox.more
	s.db.mu.Unlock()
	if commits != s.read {
		return nil
	}
	timer := time.NewTimer(idle)
	defer timer.Stop()
	select {
	case <-more:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Release gives the lease up if it is still held.
func (s *session) Release(context.Context) error {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if s.db.lease.fence == s.fence {
		s.db.lease.holder, s.db.lease.expires = "", time.Time{}
	}
	return nil
}
