package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"tidings.example"
)

// book is an outbox with the rules of a real one: positions before commits, a
// lease with a fence, changes that take effect whole or not at all.
type book struct {
	mu       sync.Mutex
	rows     map[int64]Row
	aside    map[int64]Row
	held     map[HeldKey]bool // and whether a retry was asked for
	next     int64
	signal   chan struct{}
	identity string

	fence    int64
	holder   string
	expires  time.Time
	epoch    Epoch
	counters map[string][]byte
	plans    []Plan

	reasons []string // of the epochs that were opened
	swept   []Range  // of the last query without an After
	wrong   []error  // what a relay must never ask for
}

func newBook() *book {
	return &book{rows: map[int64]Row{}, aside: map[int64]Row{}, held: map[HeldKey]bool{},
		signal: make(chan struct{}, 1), identity: "db-1", counters: map[string][]byte{}}
}

// position hands out the next position, as an insert does before its commit.
func (b *book) position() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	return b.next
}

func (b *book) commit(rows ...Row) {
	b.mu.Lock()
	for _, r := range rows {
		b.rows[r.Position] = r
	}
	b.mu.Unlock()
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// append commits one message.
func (b *book) append(id, key string) {
	position := b.position()
	b.commit(Row{Position: position, Message: message(id, key)})
}

func message(id, key string) tidings.Message {
	return tidings.Message{ID: id, Channel: "orders", Key: key, Type: "OrderCreated",
		Time: time.Now(), ContentType: "application/json", Payload: []byte("{}")}
}

func (b *book) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.rows) == 0
}

// steal gives the lease to somebody else.
func (b *book) steal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holder, b.expires, b.fence = "another", time.Now().Add(time.Hour), b.fence+1
}

// repair does what an operator does with set-aside rows: it changes them, and
// asks for another try of their keys.
func (b *book) repair(change func(m *tidings.Message)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for p, r := range b.aside {
		change(&r.Message)
		b.aside[p] = r
	}
	for key := range b.held {
		b.held[key] = true
	}
}

// seat is a place at the book for one relay process: kill ends all that it does.
type seat struct {
	*book
	ctx  context.Context // ends when the process is killed
	kill context.CancelFunc
	// countdown kills the process at the n-th operation from now, before it
	// takes effect, or after it if late is set.
	countdown int
	late      bool
	// meet, if set, is called before each operation, and after it with "after "
	// in front of its name. It may block; an error is the operation's.
	meet func(ctx context.Context, operation string) error
}

func newSeat(b *book) *seat {
	ctx, kill := context.WithCancel(context.Background())
	return &seat{book: b, ctx: ctx, kill: kill}
}

var errKilled = errors.New("killed")

// do runs one operation, unless the process was or is now killed.
func (s *seat) do(ctx context.Context, name string, operation func() error) error {
	if s.meet != nil {
		if err := s.meet(ctx, name); err != nil {
			return err
		}
	}
	err := s.doNow(ctx, operation)
	if s.meet != nil && err == nil {
		err = s.meet(ctx, "after "+name)
	}
	return err
}

func (s *seat) doNow(ctx context.Context, operation func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return errKilled
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.countdown--
	if s.countdown != 0 {
		return operation()
	}
	if s.late {
		_ = operation()
	}
	s.kill()
	return errKilled
}

func (s *seat) Name() string { return "shop" }

func (s *seat) Acquire(ctx context.Context, holder string, ttl time.Duration) (Session, State, error) {
	var st State
	x := &sitting{seat: s, ttl: ttl}
	err := s.do(ctx, "acquire", func() error {
		if left := time.Until(s.expires); s.holder != "" && s.holder != holder && left > 0 {
			return &HeldError{Source: s.Name(), Holder: s.holder, Expires: left}
		}
		s.fence++
		s.holder, s.expires, x.fence = holder, time.Now().Add(ttl), s.fence
		st = State{Fence: s.fence, Epoch: s.epoch.Name, Lanes: s.epoch.Lanes, Identity: s.epoch.Identity, Now: s.identity,
			Counters: maps.Clone(s.counters), Plans: slices.Clone(s.plans), Held: s.holds()}
		return nil
	})
	if err != nil {
		return nil, State{}, err
	}
	return x, st, nil
}

func (b *book) holds() []HeldKey {
	var all []HeldKey
	for key, retry := range b.held {
		key.Retry = retry
		all = append(all, key)
	}
	return all
}

type sitting struct {
	*seat
	fence int64
	ttl   time.Duration
}

func (x *sitting) Renew(ctx context.Context) (held []HeldKey, err error) {
	err = x.do(ctx, "renew", func() error {
		if x.fence != x.book.fence {
			return ErrFenced
		}
		x.expires = time.Now().Add(x.ttl)
		held = x.holds()
		return nil
	})
	return held, err
}

func (x *sitting) Read(ctx context.Context, q Query) (rows []Row, err error) {
	err = x.do(ctx, "read", func() error {
		if q.Limit == 0 {
			x.swept = q.Ranges
		}
		rows = answer(q, slices.Sorted(maps.Keys(x.rows)), func(p int64) Row { return x.rows[p] })
		return nil
	})
	return rows, err
}

// answer is what a query finds in a table with rows at positions, which are in
// order.
func answer(q Query, positions []int64, row func(p int64) Row) (rows []Row) {
	inRanges, above, bytes := 0, 0, 0
	for _, p := range positions {
		in := func(r Range) bool { return r.First <= p && p <= r.Last }
		switch {
		case slices.ContainsFunc(q.Ranges, in):
			if inRanges++; q.RangeLimit == 0 || inRanges <= q.RangeLimit {
				rows = append(rows, row(p))
			}
		case p > q.After && above < q.Limit && (bytes == 0 || bytes < q.Bytes):
			above++
			r := row(p)
			bytes += len(r.Message.Payload)
			rows = append(rows, r)
		}
	}
	return rows
}

func (x *sitting) Commit(ctx context.Context, c Change) error {
	return x.do(ctx, "commit", func() error {
		if x.fence != x.book.fence {
			return ErrFenced
		}
		return x.apply(c)
	})
}

func (b *book) apply(c Change) error {
	if err := b.allows(c); err != nil {
		b.wrong = append(b.wrong, err)
		return err
	}
	if c.Epoch != nil {
		b.epoch, b.plans = *c.Epoch, nil
		clear(b.counters)
		b.reasons = append(b.reasons, c.Epoch.Reason)
	}
	for _, p := range c.Done {
		delete(b.rows, p)
	}
	b.plans = slices.DeleteFunc(b.plans, func(p Plan) bool { return slices.Contains(c.DonePlans, p.ID) })
	maps.Copy(b.counters, c.Counters)
	for _, s := range c.SetAside {
		b.aside[s.Position] = b.rows[s.Position]
		delete(b.rows, s.Position)
		// A request to retry the key stays.
		key := HeldKey{Channel: s.Key.Channel, Key: s.Key.Key}
		b.held[key] = b.held[key]
	}
	for _, key := range c.Return {
		for p, r := range b.aside {
			if r.Message.Channel == key.Channel && r.Message.Key == key.Key {
				b.rows[p] = r
				delete(b.aside, p)
			}
		}
		delete(b.held, key)
	}
	if c.Plan != nil {
		b.plans = append(b.plans, *c.Plan)
	}
	return nil
}

func (b *book) allows(c Change) error {
	if len(c.Return) > 0 && len(c.SetAside) > 0 {
		return errors.New("rows are set aside and returned in one change")
	}
	if n := len(b.plans); n > 0 && c.Plan != nil && b.plans[n-1].ID >= c.Plan.ID {
		return fmt.Errorf("plan %d follows plan %d", c.Plan.ID, b.plans[n-1].ID)
	}
	for _, p := range c.Done {
		if _, there := b.rows[p]; !there {
			return fmt.Errorf("row %d is removed twice", p)
		}
	}
	for _, s := range c.SetAside {
		if _, there := b.rows[s.Position]; !there {
			return fmt.Errorf("row %d is set aside and not there", s.Position)
		}
	}
	return nil
}

func (x *sitting) Wait(ctx context.Context, idle time.Duration) error {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	select {
	case <-x.signal:
	case <-timer.C:
	case <-ctx.Done():
	case <-x.ctx.Done():
		return errKilled
	}
	return nil
}

func (x *sitting) Release(ctx context.Context) error {
	return x.do(ctx, "release", func() error {
		if x.fence == x.book.fence {
			x.holder = ""
		}
		return nil
	})
}
