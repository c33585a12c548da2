package relay

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

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
			Counters: maps.Clone(s.counters), Plans: slices.Clone(s.plans), Held: s.holds(), Reading: s.reading, Asked: s.asked, Log: s.checkpoint}
		return nil
	})
	if err != nil {
		return nil, State{}, err
	}
	return x, st, nil
}

type sitting struct {
	*seat
	fence int64
	ttl   time.Duration
}

func (x *sitting) Renew(ctx context.Context) (r Renewal, err error) {
	err = x.do(ctx, "renew", func() error {
		if x.fence != x.book.fence {
			return ErrFenced
		}
		x.expires = time.Now().Add(x.ttl)
		r.Held, r.Asked = x.holds(), x.asked
		return nil
	})
	return r, err
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

func (x *sitting) Commit(ctx context.Context, c Change) error {
	return x.do(ctx, "commit", func() error {
		if x.fence != x.book.fence {
			return ErrFenced
		}
		return x.apply(c)
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

func (x *sitting) Release(ctx context.Context) error {
	return x.do(ctx, "release", func() error {
		if x.fence == x.book.fence {
			x.holder = ""
		}
		return nil
	})
}
