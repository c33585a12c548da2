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
// lease with a fence, changes that take effect whole or not at all. A test can
// kill its sessions at any operation.
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

// seat is a place at the book for one relay process: kill ends all that it does.
type seat struct {
	*book
	ctx  context.Context // ends when the process is killed
	kill context.CancelFunc
	// countdown kills the process at the n-th operation from now, before it
	// takes effect, or after it if late is set.
	countdown int
	late      bool
	stuck     bool // renewals hang, as if the process were stopped
}

func newSeat(b *book) *seat {
	ctx, kill := context.WithCancel(context.Background())
	return &seat{book: b, ctx: ctx, kill: kill}
}

var errKilled = errors.New("killed")

// do runs one operation, unless the process was or is now killed.
func (s *seat) do(operation func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return errKilled
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

func (s *seat) Acquire(_ context.Context, holder string, ttl time.Duration) (Session, State, error) {
	var st State
	x := &sitting{seat: s, ttl: ttl}
	err := s.do(func() error {
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
	x.mu.Lock()
	stuck := x.stuck
	x.mu.Unlock()
	if stuck {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	err = x.do(func() error {
		if x.fence != x.book.fence {
			return ErrFenced
		}
		x.expires = time.Now().Add(x.ttl)
		held = x.holds()
		return nil
	})
	return held, err
}

func (x *sitting) Read(_ context.Context, q Query) (rows []Row, err error) {
	err = x.do(func() error {
		inRanges, above := 0, 0
		for _, p := range slices.Sorted(maps.Keys(x.rows)) {
			in := func(r Range) bool { return r.First <= p && p <= r.Last }
			switch {
			case slices.ContainsFunc(q.Ranges, in):
				if inRanges++; q.RangeLimit == 0 || inRanges <= q.RangeLimit {
					rows = append(rows, x.rows[p])
				}
			case p > q.After && above < q.Limit:
				above++
				rows = append(rows, x.rows[p])
			}
		}
		return nil
	})
	return rows, err
}

func (x *sitting) Commit(_ context.Context, c Change) error {
	return x.do(func() error {
		if x.fence != x.book.fence {
			return ErrFenced
		}
		if c.Epoch != nil {
			x.epoch, x.plans = *c.Epoch, nil
			clear(x.counters)
			x.reasons = append(x.reasons, c.Epoch.Reason)
		}
		for _, p := range c.Done {
			if _, there := x.rows[p]; !there {
				return fmt.Errorf("row %d is removed twice", p)
			}
			delete(x.rows, p)
		}
		x.plans = slices.DeleteFunc(x.plans, func(p Plan) bool { return slices.Contains(c.DonePlans, p.ID) })
		maps.Copy(x.counters, c.Counters)
		for _, s := range c.SetAside {
			x.aside[s.Position] = x.rows[s.Position]
			delete(x.rows, s.Position)
			// A request to retry the key stays.
			key := HeldKey{Channel: s.Key.Channel, Key: s.Key.Key}
			x.held[key] = x.held[key]
		}
		for _, key := range c.Return {
			for p, r := range x.aside {
				if r.Message.Channel == key.Channel && r.Message.Key == key.Key {
					x.rows[p] = r
					delete(x.aside, p)
				}
			}
			delete(x.held, key)
		}
		if c.Plan != nil {
			x.plans = append(x.plans, *c.Plan)
		}
		return nil
	})
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

func (x *sitting) Release(context.Context) error {
	return x.do(func() error {
		if x.fence == x.book.fence {
			x.holder = ""
		}
		return nil
	})
}
