package relay

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings.example/broker/inproc"
)

func TestStandbyTakesOver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end    func(first *seat, stop func())
		within time.Duration
	}{
		"after a kill, when the lease has run out": {func(s *seat, stop func()) { s.kill(); stop() }, 3500 * time.Millisecond},
		"at once after a clean stop":               {func(_ *seat, stop func()) { stop() }, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, broker := newBook(), inproc.New(inproc.Config{})
				first := newSeat(b)
				_, stopFirst := process(t, first, broker, func(c *Config) { c.Holder = "first" })
				b.append("m1", "k")
				until(t, "the first relay publishes", b.empty)
				second, stopSecond := process(t, newSeat(b), broker, func(c *Config) { c.Holder = "second" })
				until(t, "the second stands by", func() bool { return second.Stats().Role == Standby })
				if err := second.Ready(); err != nil {
					t.Errorf("a standby is not ready: %v", err)
				}
				c.end(first, stopFirst)
				b.append("m2", "k")
				started := time.Now()
				until(t, "the second publishes", b.empty)
				if took := time.Since(started); took > c.within {
					t.Errorf("it took %s, more than %s", took, c.within)
				}
				stopSecond()
				consistent(t, broker.Messages("orders"))
			})
		})
	}
}

// stuckRenewals lets renewals hang from when stuck is set.
func stuckRenewals(stuck *atomic.Bool) func(context.Context, string) error {
	return func(ctx context.Context, operation string) error {
		if operation == "renew" && stuck.Load() {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
}

// A relay that was stopped for longer than its lease, and wakes up while the
// broker still takes its messages, must not publish.
func TestExpiredRelayPublishesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		s := newSeat(b)
		var stuck atomic.Bool
		s.meet = stuckRenewals(&stuck)
		r, stop := process(t, s, broker, func(c *Config) { c.Idle = time.Hour })
		b.append("m1", "k")
		until(t, "it publishes", b.empty)
		stuck.Store(true)
		b.steal()
		<-time.After(4 * time.Second)
		b.append("m2", "k")
		until(t, "it notices", func() bool { return r.Stats().Role == Standby })
		stop()
		if stored := broker.Messages("orders"); len(stored) != 1 {
			t.Errorf("the broker holds %d messages", len(stored))
		}
	})
}

// The commit of a plan takes so long that the lease runs out meanwhile: the
// plan counts, but it is for the next leader to publish.
func TestSlowCommitDoesNotPublishAfterTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		s := newSeat(b)
		var stuck, slow atomic.Bool
		renewals := stuckRenewals(&stuck)
		s.meet = func(ctx context.Context, operation string) error {
			if operation == "after commit" && slow.CompareAndSwap(true, false) {
				<-time.After(3500 * time.Millisecond) // a driver that does not look at ctx
				b.steal()
				return nil
			}
			return renewals(ctx, operation)
		}
		r, stop := process(t, s, broker, nil)
		until(t, "it leads", func() bool { return r.Stats().Role == Leading })
		<-time.After(100 * time.Millisecond)
		stuck.Store(true)
		slow.Store(true)
		b.append("m1", "k")
		until(t, "it notices", func() bool { return r.Stats().Role == Standby })
		stop()
		if n := len(broker.Messages("orders")); n != 0 {
			t.Errorf("the broker holds %d messages", n)
		}
	})
}

// The relay is inside Publish, which blocks since the broker is away, when the
// lease runs out; the broker comes back a moment later.
func TestBlockedPublishEndsWithTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		restore := broker.Cut()
		s := newSeat(b)
		acquired := false
		s.meet = func(ctx context.Context, operation string) error {
			switch {
			case operation == "renew": // the database does not answer any more
				<-ctx.Done()
				return ctx.Err()
			case operation == "acquire" && acquired:
				return errors.New("connection refused")
			}
			acquired = acquired || operation == "after acquire"
			return nil
		}
		b.append("m1", "k")
		_, stop := process(t, s, broker, nil)
		<-time.After(3050 * time.Millisecond)
		restore()
		<-time.After(5 * time.Second)
		stop()
		if n := len(broker.Messages("orders")); n != 0 {
			t.Errorf("the broker holds %d messages", n)
		}
	})
}

// Whatever a leader waits for, it notices at its next renewal that the lease is
// another's.
func TestFencedLeaderStandsByAtOnce(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(b *book, broker *inproc.Broker){
		"idle": func(*book, *inproc.Broker) {},
		"waiting to publish again": func(b *book, broker *inproc.Broker) {
			broker.FailNext(1000, errors.New("no leader"))
			b.append("m1", "k")
		},
		"publishing": func(b *book, broker *inproc.Broker) {
			broker.Cut()
			b.append("m1", "k")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, broker := newBook(), inproc.New(inproc.Config{})
				r, stop := process(t, newSeat(b), broker, func(c *Config) { c.Idle, c.Backoff = time.Hour, time.Hour })
				prepare(b, broker)
				<-time.After(20 * time.Second)
				b.steal()
				started := time.Now()
				until(t, "it stands by", func() bool { return r.Stats().Role == Standby })
				if took := time.Since(started); took > 1100*time.Millisecond {
					t.Errorf("it took %s", took)
				}
				if n := r.Stats().InFlight; n != 0 {
					t.Errorf("a standby has %d rows in flight", n)
				}
				stop()
			})
		})
	}
}
