package timer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"tidings.example/timer"
)

// A move is what happens in a history, and how long nothing else does then.
type move struct {
	kind string
	// by is when what is set is due, or how far the clock jumps.
	by    time.Duration
	n     int
	pause time.Duration
}

func (m move) String() string {
	return fmt.Sprintf("%s by %s, %d, then %s", m.kind, m.by, m.n, m.pause)
}

func moves() *rapid.Generator[[]move] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) move {
		return move{
			kind:  rapid.SampledFrom([]string{"set", "set", "set", "set and wake", "jump", "fail", "stop one", "start one"}).Draw(t, "kind"),
			by:    time.Duration(rapid.IntRange(-3600, 3600).Draw(t, "by")) * time.Second / 60,
			n:     rapid.IntRange(1, 200).Draw(t, "n"),
			pause: time.Duration(rapid.IntRange(0, 5000).Draw(t, "pause")) * time.Millisecond,
		}
	}), 1, 25)
}

// Whatever is set, however the clock jumps, and whichever runners stop and begin:
// each thing is done once, not before its time, and soon after it where runners run.
func TestEachThingOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		history := moves().Draw(rt, "history")
		var err error
		synctest.Test(t, func(*testing.T) { err = playMoves(history) })
		if err != nil {
			rt.Fatalf("%v\n%v", err, history)
		}
	})
}

// table is things that notice when they are done too early.
type table struct {
	things
	clock *clock
	early error
	set   int
	wakes []func()
}

func (s *table) Fire(ctx context.Context, now time.Time, limit int) (int, error) {
	if ahead := now.Sub(s.clock.now()); ahead > 0 {
		s.early = fmt.Errorf("asked to do what is due %s from now", ahead)
	}
	return s.things.Fire(ctx, now, limit)
}

// overdue returns for how long the oldest thing has been due.
func (s *table) overdue() (late time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rows {
		late = max(late, s.clock.now().Sub(r.due))
	}
	return late
}

func playMoves(history []move) error {
	c := &clock{}
	s := &table{clock: c}
	s.slow = 3 * time.Millisecond
	var stops []func() error
	begin := func() error {
		r, err := timer.NewRunner(timer.Config{Name: "orders", Sources: []timer.Source{s}, Now: c.now, Batch: 30})
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		s.wakes = append(s.wakes, r.Wake)
		stops = append(stops, func() error { cancel(); return <-ended })
		return nil
	}
	stop := func() error {
		last := len(stops) - 1
		end := stops[last]
		stops, s.wakes = stops[:last], s.wakes[:last]
		return end()
	}
	for _, m := range history {
		switch m.kind {
		case "set", "set and wake":
			for range m.n {
				s.set++
				s.things.set(fmt.Sprint(s.set), c.in(m.by))
			}
			if m.kind == "set and wake" {
				for _, wake := range s.wakes {
					wake()
				}
			}
		case "jump":
			c.jump(m.by * 60)
		case "fail":
			s.mu.Lock()
			s.fail = append(s.fail, errPassing, nil, errPassing)
			s.mu.Unlock()
		case "stop one":
			if len(stops) > 0 {
				if err := stop(); err != nil {
					return err
				}
			}
		case "start one":
			if err := begin(); err != nil {
				return err
			}
		}
		time.Sleep(m.pause)
	}
	if err := begin(); err != nil {
		return err
	}
	// Failures that are left are over after some seconds; then nothing is later than a look and a batch.
	time.Sleep(time.Minute)
	if late := s.overdue(); late > 2*time.Second {
		return fmt.Errorf("something has been due for %s", late)
	}
	c.jump(100 * time.Hour)
	time.Sleep(10 * time.Second)
	for len(stops) > 0 {
		if err := stop(); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, f := range s.fired {
		if seen[f.id] {
			return fmt.Errorf("%s was done twice", f.id)
		}
		seen[f.id] = true
	}
	if len(seen) != s.set || len(s.rows) != 0 {
		return fmt.Errorf("%d of %d were done, %d are left", len(seen), s.set, len(s.rows))
	}
	return errors.Join(s.early)
}
