package timer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings.example/timer"
)

// things is a table of things to be done, with rows that transactions lock.
type things struct {
	mu    sync.Mutex
	rows  map[string]*row
	fired []firing
	looks int
	// slow is how long a transaction takes.
	slow time.Duration
	// fail makes the next calls fail.
	fail []error
}

type row struct {
	due    time.Time
	locked bool
}

type firing struct {
	id string
	at time.Time
}

var errPassing = errors.New("connection lost")

func (s *things) Name() string { return "things" }

func (s *things) Transient(err error) bool { return errors.Is(err, errPassing) }

func (s *things) set(id string, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows == nil {
		s.rows = map[string]*row{}
	}
	s.rows[id] = &row{due: due}
}

func (s *things) failure() error {
	if len(s.fail) == 0 {
		return nil
	}
	err := s.fail[0]
	s.fail = s.fail[1:]
	return err
}

func (s *things) Next(context.Context) (due time.Time, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	for _, r := range s.rows {
		if !ok || r.due.Before(due) {
			due, ok = r.due, true
		}
	}
	return due, ok, s.failure()
}

// Fire locks rows, takes its time, and commits; or rolls back where ctx has ended.
func (s *things) Fire(ctx context.Context, now time.Time, limit int) (int, error) {
	s.mu.Lock()
	err := s.failure()
	var ids []string
	for id, r := range s.rows {
		if !r.locked && !r.due.After(now) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return s.rows[a].due.Compare(s.rows[b].due) })
	ids = ids[:min(limit, len(ids))]
	for _, id := range ids {
		s.rows[id].locked = true
	}
	s.mu.Unlock()
	if err == nil && s.slow > 0 {
		select {
		case <-time.After(s.slow):
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		s.rows[id].locked = false
		if err == nil {
			delete(s.rows, id)
			s.fired = append(s.fired, firing{id, time.Now()})
		}
	}
	if err != nil {
		return 0, err
	}
	return len(ids), nil
}

func (s *things) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

// log returns what was fired, and when, counted from start.
func (s *things) log(start time.Time) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := make([]string, len(s.fired))
	for i, f := range s.fired {
		lines[i] = fmt.Sprintf("%s at %s", f.id, f.at.Sub(start))
	}
	return lines
}

// run starts a runner in a bubble and stops it at the end of the test.
func run(t *testing.T, cfg timer.Config) *timer.Runner {
	t.Helper()
	cfg.Name = "orders"
	r, err := timer.NewRunner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
	return r
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("fired %q, want %q", got, want)
	}
}

func TestFiresAtTheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &things{}
		s.set("late", start.Add(-time.Hour))
		s.set("soon", start.Add(300*time.Millisecond))
		s.set("hours", start.Add(2*time.Hour))
		r := run(t, timer.Config{Sources: []timer.Source{s}})
		time.Sleep(3 * time.Hour)
		expect(t, s.log(start), "late at 0s", "soon at 300ms", "hours at 2h0m0s")
		if stats := r.Stats()[0]; stats.Fired != 3 || stats.Failures != 0 || !stats.Next.IsZero() || stats.Source != "things" {
			t.Errorf("stats: %+v", stats)
		}
	})
}

func TestWhatAnotherProcessSetsFiresWithinPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &things{}
		s.set("later", start.Add(time.Hour))
		run(t, timer.Config{Sources: []timer.Source{s}})
		time.Sleep(10*time.Second + 300*time.Millisecond)
		s.set("other's", time.Now().Add(100*time.Millisecond))
		time.Sleep(2 * time.Second)
		expect(t, s.log(start), "other's at 11s")
	})
}

func TestWake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &things{}
		r := run(t, timer.Config{Sources: []timer.Source{s}})
		time.Sleep(1500 * time.Millisecond)
		s.set("ours", time.Now())
		r.Wake()
		time.Sleep(50 * time.Millisecond)
		expect(t, s.log(start), "ours at 1.5s")
	})
}

// A runner that is woken all the time must not keep the database busy.
func TestManyWakesCostFewLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &things{}
		r := run(t, timer.Config{Sources: []timer.Source{s}})
		for range 10000 {
			r.Wake()
			time.Sleep(100 * time.Microsecond)
		}
		if looks := s.asked(); looks > 210 {
			t.Errorf("%d looks in a second", looks)
		}
	})
}

func TestWaitingCostsOneLookPerPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &things{}
		for i := range 1000 {
			s.set(fmt.Sprint(i), time.Now().Add(2*time.Hour))
		}
		run(t, timer.Config{Sources: []timer.Source{s}})
		time.Sleep(10 * time.Minute)
		if looks := s.asked(); looks < 600 || looks > 601 {
			t.Errorf("%d looks in ten minutes, with Poll at 1 s", looks)
		}
	})
}

// clock can be set by hand.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time               { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) jump(d time.Duration)         { c.offset.Add(int64(d)) }
func (c *clock) config() timer.Config         { return timer.Config{Now: c.now} }
func (c *clock) in(d time.Duration) time.Time { return c.now().Add(d) }

func TestClockJumps(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		jump time.Duration
		want []string
	}{
		// What lies in the hour that was jumped over is due at once; "new" was set after the jump.
		"ahead": {time.Hour, []string{"minute at 11s", "half at 11s", "new at 20s", "two hours at 1h0m0s"}},
		// What was due in a minute is due in an hour and a minute.
		"back": {-time.Hour, []string{"new at 20s", "minute at 1h1m0s", "half at 1h30m0s", "two hours at 3h0m0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start, c, s := time.Now(), &clock{}, &things{}
				s.set("minute", c.in(time.Minute))
				s.set("half", c.in(30*time.Minute))
				s.set("two hours", c.in(2*time.Hour))
				cfg := c.config()
				cfg.Sources = []timer.Source{s}
				run(t, cfg)
				time.Sleep(10*time.Second + 500*time.Millisecond)
				c.jump(test.jump)
				time.Sleep(4500 * time.Millisecond)
				s.set("new", c.in(5*time.Second))
				time.Sleep(4 * time.Hour)
				expect(t, s.log(start), test.want...)
			})
		})
	}
}

// Two runners, each with several workers, on one table: everything once, and
// nobody waits for the other.
func TestTwoRunnersFireEachThingOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &things{slow: 20 * time.Millisecond}
		const n = 3000
		for i := range n {
			s.set(fmt.Sprint(i), start.Add(time.Duration(i%7)*time.Second))
		}
		a := run(t, timer.Config{Sources: []timer.Source{s}})
		b := run(t, timer.Config{Sources: []timer.Source{s}, Batch: 30})
		time.Sleep(10 * time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		seen := map[string]int{}
		for _, f := range s.fired {
			seen[f.id]++
		}
		for id, count := range seen {
			if count != 1 {
				t.Errorf("%s was fired %d times", id, count)
			}
		}
		one, two := a.Stats()[0].Fired, b.Stats()[0].Fired
		if len(seen) != n || one+two != n || one == 0 || two == 0 {
			t.Errorf("%d of %d were fired, %d by the one runner and %d by the other", len(seen), n, one, two)
		}
	})
}

// What another process has locked and then rolls back is done by us, soon.
func TestTakesOverWhatAnotherHasGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start, s := time.Now(), &things{}
		s.set("a", start)
		s.rows["a"].locked = true
		run(t, timer.Config{Sources: []timer.Source{s}})
		time.Sleep(3 * time.Second)
		if looks := s.asked(); looks > 20 {
			t.Errorf("%d looks while another process was at it", looks)
		}
		s.mu.Lock()
		s.rows["a"].locked = false
		s.mu.Unlock()
		time.Sleep(time.Second)
		if log := s.log(start); len(log) != 1 {
			t.Errorf("fired %q", log)
		}
	})
}

func TestErrorsThatPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start, s := time.Now(), &things{}
		s.set("a", start)
		for range 10 {
			s.fail = append(s.fail, errPassing)
		}
		r := run(t, timer.Config{Sources: []timer.Source{s}})
		time.Sleep(time.Second)
		for range 1000 {
			r.Wake()
		}
		synctest.Wait()
		if err := r.Ready(); !errors.Is(err, errPassing) {
			t.Errorf("Ready returned %v", err)
		}
		if looks := s.asked(); looks > 6 {
			t.Errorf("%d looks in the first second", looks)
		}
		time.Sleep(2 * time.Minute)
		if len(s.log(start)) != 1 || r.Ready() != nil {
			t.Errorf("fired %q, ready: %v", s.log(start), r.Ready())
		}
		if stats := r.Stats()[0]; stats.Failures != 10 || stats.Error != nil {
			t.Errorf("stats: %+v", stats)
		}
	})
}

func TestOtherErrorsEndIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no such table")
		s, other := &things{fail: []error{broken}}, &things{}
		r, err := timer.NewRunner(timer.Config{Name: "orders", Sources: []timer.Source{other, s}})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Ready(); err == nil {
			t.Error("ready before Run")
		}
		if err := r.Run(t.Context()); !errors.Is(err, broken) {
			t.Errorf("Run returned %v", err)
		}
		if err := r.Ready(); !errors.Is(err, broken) {
			t.Errorf("Ready returned %v", err)
		}
	})
}

// A call that hangs is cut off and tried again, and does not hold the other source up.
func TestSlowSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		hangs, quick := &things{slow: time.Hour}, &things{}
		hangs.set("hangs", start)
		quick.set("quick", start.Add(30*time.Second))
		r := run(t, timer.Config{Sources: []timer.Source{hangs, quick}})
		time.Sleep(time.Minute + time.Millisecond)
		expect(t, quick.log(start), "quick at 30s")
		if err := r.Ready(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ready returned %v", err)
		}
		hangs.mu.Lock()
		hangs.slow = 0
		hangs.mu.Unlock()
		time.Sleep(time.Second)
		if log := hangs.log(start); len(log) != 1 {
			t.Errorf("fired %q", log)
		}
	})
}

func TestStopFinishesWhatIsBegun(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		slow time.Duration
		want []string
		took time.Duration
	}{
		"in time":    {3 * time.Second, []string{"a at 3s"}, 2 * time.Second},
		"and is cut": {time.Minute, nil, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start, s := time.Now(), &things{slow: test.slow}
				s.set("a", start)
				r, err := timer.NewRunner(timer.Config{Name: "orders", Sources: []timer.Source{s}})
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithTimeout(t.Context(), time.Second)
				defer stop()
				if err := r.Run(ctx); err != nil {
					t.Errorf("Run returned %v", err)
				}
				if took := time.Since(start); took != time.Second+test.took {
					t.Errorf("Run returned after %s", took)
				}
				expect(t, s.log(start), test.want...)
			})
		})
	}
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	sources := []timer.Source{&things{}}
	for want, cfg := range map[string]timer.Config{
		"timer: Name is empty":                       {Sources: sources},
		"timer: Sources is empty: give at least one": {Name: "orders"},
		"timer: source 2 of Sources is nil":          {Name: "orders", Sources: []timer.Source{&things{}, nil}},
		"timer: Poll is -1s, less than 0":            {Name: "orders", Sources: sources, Poll: -time.Second},
		"timer: Timeout is -1s, less than 0":         {Name: "orders", Sources: sources, Timeout: -time.Second},
		"timer: Batch is -1, less than 1":            {Name: "orders", Sources: sources, Batch: -1},
		"timer: Concurrency is -1, less than 1":      {Name: "orders", Sources: sources, Concurrency: -1},
	} {
		if _, err := timer.NewRunner(cfg); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
