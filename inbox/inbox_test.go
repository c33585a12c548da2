package inbox_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/inbox"
	"tidings.example/store/memory"
)

var errBad = errors.New("bad")

func TestHandlesOnceAndAcknowledges(t *testing.T) {
	t.Parallel()
	run(t, config{}, func(b *bench) {
		b.send(msg(1, 1), msg(1, 2), msg(1, 1), msg(1, 2))
		b.expect("in order, once", "1/1 1/2")
		b.effects("1/1 1/2")
		b.acked("1/1 1/1 1/2 1/2")
		if s := b.in.Stats(); s.Handled != 2 || s.Duplicates != 2 || s.InFlight != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestHandlerKnowsTheCause(t *testing.T) {
	t.Parallel()
	cause := ""
	handler := func(ctx context.Context, tx *memory.Tx, m *tidings.Message) error {
		cause = tidings.Cause(ctx).ID
		return nil
	}
	run(t, config{Handler: handler}, func(b *bench) {
		b.send(msg(1, 1))
		if cause != "1/1" {
			t.Errorf("cause is %q", cause)
		}
	})
}

// Two lanes of one partition are handled at the same time, one lane never is.
func TestLanesAreIndependent(t *testing.T) {
	t.Parallel()
	run(t, config{Concurrency: 2}, func(b *bench) {
		release1, release2 := b.hold("1/1"), b.hold("2/1")
		b.send(msg(1, 1), msg(1, 2), msg(2, 1), msg(2, 2), msg(3, 1))
		b.mu.Lock()
		n := len(b.calls)
		b.mu.Unlock()
		if n != 2 {
			t.Errorf("%d handlers run, want 2: one for each lane, as concurrency allows", n)
		}
		release1()
		synctest.Wait()
		b.acked("1/1 1/2 3/1")
		release2()
		synctest.Wait()
		b.acked("1/1 1/2 2/1 2/2 3/1")
	})
}

// A message keeps its place in its key's order across an epoch.
func TestEpochsOfALaneAreNotHandledTogether(t *testing.T) {
	t.Parallel()
	run(t, config{}, func(b *bench) {
		release := b.hold("1/1")
		next := msg(1, 2)
		next.Stamp.Epoch, next.Stamp.Sequence = "f", 1
		b.send(msg(1, 1), next)
		b.expect("while the first runs", "1/1")
		release()
		synctest.Wait()
		b.expect("afterwards", "1/1 1/2")
	})
}

func TestBackPressure(t *testing.T) {
	t.Parallel()
	run(t, config{MaxInFlight: 3}, func(b *bench) {
		release := b.hold("1/1")
		for n := range uint64(10) {
			b.send(msg(1, n+1))
		}
		// One more has left the broker: it waits in deliver.
		if s, left := b.in.Stats(), len(b.feed.deliveries); s.InFlight != 3 || left != 6 {
			t.Errorf("%d in memory, %d left with the broker", s.InFlight, left)
		}
		release()
		synctest.Wait()
		if s := b.in.Stats(); s.Handled != 10 {
			t.Errorf("handled %d of 10", s.Handled)
		}
	})
}

func TestGapsAndLateMessages(t *testing.T) {
	t.Parallel()
	run(t, config{}, func(b *bench) {
		b.send(msg(1, 1), msg(1, 4), msg(1, 2))
		b.effects("1/1 1/2 1/4")
		if s := b.in.Stats(); s.Gaps != 1 || s.Missing != 2 || s.Late != 1 {
			t.Errorf("stats %+v", s)
		}
		if s := b.lane(1); s.Last != 4 || len(s.Holes) != 1 || s.Holes[0] != (inbox.Hole{First: 3, Last: 3}) {
			t.Errorf("lane %+v", s)
		}
		if !strings.Contains(b.log.String(), "messages are missing") {
			t.Errorf("nothing is logged: %s", b.log)
		}
	})
}

func TestStrictParksAfterAGap(t *testing.T) {
	t.Parallel()
	run(t, config{Strict: true}, func(b *bench) {
		b.send(msg(1, 1), msg(1, 3))
		b.effects("1/1")
		b.expectParked("1/3:0")
		b.acked("1/1 1/3")
	})
}

func TestTooManyHolesEndRun(t *testing.T) {
	t.Parallel()
	run(t, config{MaxHoles: 1}, func(b *bench) {
		b.send(msg(1, 1), msg(1, 3), msg(1, 5))
		<-b.ended
		var holes *inbox.TooManyHolesError
		if !errors.As(b.err, &holes) || holes.Lane.N != 1 || !strings.Contains(b.err.Error(), "raise MaxHoles") {
			t.Errorf("Run returned %v", b.err)
		}
		b.acked("1/1 1/3")
		if err := b.in.Ready(); err == nil || !strings.Contains(err.Error(), "stopped") {
			t.Errorf("ready: %v", err)
		}
	})
}

// A source that was set back gives numbers again: what looks like a duplicate
// is parked, once.
func TestSetBackSourceIsParkedNotDropped(t *testing.T) {
	t.Parallel()
	run(t, config{}, func(b *bench) {
		b.send(msg(1, 1))
		b.pass(time.Hour)
		other := msg(1, 1)
		other.ID, other.Payload = "other", []byte("other")
		b.send(other, other)
		b.expectParked("other:0")
		if s := b.in.Stats(); s.SetBack != 1 || s.Duplicates != 1 {
			t.Errorf("stats %+v", s)
		}
		b.acked("1/1 other other")
	})
}

func TestMessagesWithoutALane(t *testing.T) {
	t.Parallel()
	run(t, config{IDRetention: 24 * time.Hour}, func(b *bench) {
		release := b.hold("a1")
		b.send(bare("a", "a1"), bare("a", "a2"), bare("b", "b1"), bare("a", "a1"))
		b.acked("b1")
		release()
		synctest.Wait()
		b.expect("once, by key", "a1 b1 a2")
		b.pass(26 * time.Hour)
		b.send(bare("a", "a1"))
		b.expect("again after the retention", "a1 b1 a2 a1")
	})
}

func TestBatchSharesATransaction(t *testing.T) {
	t.Parallel()
	store := &countingStore{Inbox: memory.New().Inbox()}
	run(t, config{Store: store, BatchSize: 10, Concurrency: 1}, func(b *bench) {
		release := b.hold("0/1")
		b.send(msg(0, 1))
		// These wait already when the first is done; the second 1/1 is a
		// duplicate inside the batch.
		b.send(msg(1, 1), msg(1, 2), msg(2, 1), msg(1, 1), bare("x", "x"), bare("x", "x"))
		before := store.transactions.Load()
		release()
		synctest.Wait()
		if n := store.transactions.Load() - before; n != 1 {
			t.Errorf("%d transactions, want 1", n)
		}
		if s := b.in.Stats(); s.Handled != 5 || s.Duplicates != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

type countingStore struct {
	*memory.Inbox
	transactions atomic.Int64
}

func (s *countingStore) InTx(ctx context.Context, fn func(ctx context.Context, tx *memory.Tx) error) error {
	s.transactions.Add(1)
	return s.Inbox.InTx(ctx, fn)
}

func TestFailedBatchIsHandledOneByOne(t *testing.T) {
	t.Parallel()
	run(t, config{BatchSize: 10, Concurrency: 1}, func(b *bench) {
		release := b.hold("0/1")
		b.failing("2/1", inbox.Permanent(errBad))
		b.send(msg(0, 1))
		b.send(msg(1, 1), msg(1, 2), msg(2, 1), msg(2, 2), msg(3, 1))
		release()
		synctest.Wait()
		b.effects("0/1 1/1 1/2 3/1")
		b.expectParked("2/1:2 2/2:0")
		b.acked("0/1 1/1 1/2 2/1 2/2 3/1")
	})
}

// The commit took effect, but the connection was lost before it said so.
func TestUnknownOutcomeOfACommit(t *testing.T) {
	t.Parallel()
	store := &lostCommit{Inbox: memory.New().Inbox()}
	run(t, config{Store: store}, func(b *bench) {
		store.lose.Store(true)
		b.send(msg(1, 1))
		b.pass(time.Second)
		b.expect("once", "1/1")
		b.acked("1/1")
	})
}

type lostCommit struct {
	*memory.Inbox
	lose atomic.Bool
}

var errLost = errors.New("connection lost")

func (s *lostCommit) InTx(ctx context.Context, fn func(ctx context.Context, tx *memory.Tx) error) error {
	err := s.Inbox.InTx(ctx, fn)
	if err == nil && s.lose.CompareAndSwap(true, false) {
		return errLost
	}
	return err
}

func (s *lostCommit) Transient(err error) bool { return errors.Is(err, errLost) }

func TestDrainFinishesRunningHandlers(t *testing.T) {
	t.Parallel()
	run(t, config{}, func(b *bench) {
		release := b.hold("1/1")
		b.send(msg(1, 1), msg(1, 2))
		b.stop()
		synctest.Wait()
		if err := b.in.Ready(); err == nil || err.Error() != "draining" {
			t.Errorf("ready: %v", err)
		}
		b.send(msg(2, 1))
		release()
		<-b.ended
		b.effects("1/1")
		b.acked("1/1")
		if b.err != nil {
			t.Errorf("Run returned %v", b.err)
		}
	})
}

func TestDrainTimeoutCutsHandlersOff(t *testing.T) {
	t.Parallel()
	run(t, config{DrainTimeout: 3 * time.Second}, func(b *bench) {
		b.hold("1/1")
		b.send(msg(1, 1))
		began := time.Now()
		b.stop()
		<-b.ended
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("drained in %s", took)
		}
		b.effects("")
		b.acked("")
	})
}

// What was not begun is forgotten when its partition is taken away: it comes
// again, here or elsewhere.
func TestRevokedMessagesAreForgotten(t *testing.T) {
	t.Parallel()
	run(t, config{}, func(b *bench) {
		release := b.hold("1/1")
		b.send(msg(1, 1), msg(1, 2))
		b.feed.takeAway()
		synctest.Wait()
		b.send(msg(1, 2), msg(1, 3))
		release()
		synctest.Wait()
		b.expect("once", "1/1 1/2 1/3")
		b.acked("1/1 1/2 1/3")
		if s := b.in.Stats(); s.InFlight != 0 || s.Duplicates != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestSubscriptionsFailureEndsRun(t *testing.T) {
	t.Parallel()
	run(t, config{}, func(b *bench) {
		b.feed.err <- errBad
		<-b.ended
		if !errors.Is(b.err, errBad) {
			t.Errorf("Run returned %v", b.err)
		}
	})
}

func TestReadySaysWhyNot(t *testing.T) {
	t.Parallel()
	store := &brokenStore{Inbox: memory.New().Inbox()}
	run(t, config{Store: store}, func(b *bench) {
		if err := b.in.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
		store.broken.Store(true)
		b.send(msg(1, 1))
		b.pass(time.Minute)
		if err := b.in.Ready(); err == nil || err.Error() != "database fails: connection lost" {
			t.Errorf("ready: %v", err)
		}
		store.broken.Store(false)
		b.pass(10 * time.Second)
		if err := b.in.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
		b.acked("1/1")
		if err := b.in.Run(b.t.Context()); err == nil {
			t.Error("it runs twice at the same time")
		}
	})
}

type brokenStore struct {
	*memory.Inbox
	broken atomic.Bool
}

func (s *brokenStore) InTx(ctx context.Context, fn func(ctx context.Context, tx *memory.Tx) error) error {
	if s.broken.Load() {
		return errLost
	}
	return s.Inbox.InTx(ctx, fn)
}

func TestNewChecksItsConfiguration(t *testing.T) {
	t.Parallel()
	db := memory.New()
	good := config{Subscriber: "s", Store: db.Inbox(), Broker: newFeed(), Channels: []string{"c"},
		Handler: func(context.Context, *memory.Tx, *tidings.Message) error { return nil }}
	if _, err := inbox.New(good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(c *config){
		"subscriber":         func(c *config) { c.Subscriber = "" },
		"Channels is empty":  func(c *config) { c.Channels = nil },
		`"c" twice`:          func(c *config) { c.Channels = []string{"c", "c"} },
		"channel":            func(c *config) { c.Channels = []string{"no spaces"} },
		"Store is missing":   func(c *config) { c.Store = nil },
		"Broker is missing":  func(c *config) { c.Broker = nil },
		"Handler is missing": func(c *config) { c.Handler = nil },
		"Concurrency is -1":  func(c *config) { c.Concurrency = -1 },
		"DrainTimeout is":    func(c *config) { c.DrainTimeout = -1 },
		"Backoff is from":    func(c *config) { c.Backoff = inbox.Backoff{Initial: 2, Max: 1} },
	} {
		c := good
		change(&c)
		if _, err := inbox.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

var _ broker.Subscriber = (*feed)(nil)
