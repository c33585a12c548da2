package relay

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings.example/broker/inproc"
)

// Two relays with the same name take the lease from each other, which is a
// mistake: it must neither spin nor keep messages from going out.
func TestSameHolderTwiceDoesNotSpin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		same := func(c *Config) { c.Holder = "same" }
		_, stop1 := process(t, newSeat(b), broker, same)
		_, stop2 := process(t, newSeat(b), broker, same)
		for i := range 100 {
			b.append(fmt.Sprintf("m%d", i), "k")
			<-time.After(100 * time.Millisecond)
		}
		until(t, "the outbox is empty", b.empty)
		stop1()
		stop2()
		if b.fence > 200 {
			t.Errorf("in 10 s the lease was taken %d times", b.fence)
		}
		consistent(t, broker.Messages("orders"))
	})
}

// A standby that cannot ask for the lease is no standby.
func TestStandbyWithoutDatabaseIsNotReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		b.steal()
		s := newSeat(b)
		var away atomic.Bool
		s.meet = func(ctx context.Context, _ string) error {
			if away.Load() {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		r, stop := process(t, s, broker, nil)
		until(t, "it stands by", func() bool { return r.Stats().Role == Standby })
		away.Store(true)
		<-time.After(7 * time.Second)
		if r.Ready() == nil {
			t.Error("it is ready")
		}
		stop()
	})
}

// The wait after a failure of the database grows while failures last, and is
// short again after a time without any.
func TestWaitAfterDatabaseFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		s := newSeat(b)
		var away atomic.Bool
		var acquired atomic.Int32
		s.meet = func(_ context.Context, operation string) error {
			if operation == "acquire" {
				acquired.Add(1)
			}
			if away.Load() && operation != "release" {
				return errors.New("connection refused")
			}
			return nil
		}
		r, stop := process(t, s, broker, nil)
		leads := func() bool { return r.Stats().Role == Leading && r.Ready() == nil }
		until(t, "it leads", leads)
		away.Store(true)
		<-time.After(100 * time.Second)
		if n := acquired.Load(); n < 10 || n > 50 {
			t.Errorf("in 100 s it tried %d times", n)
		}
		away.Store(false)
		until(t, "it leads again", leads)
		<-time.After(10 * time.Second)
		away.Store(true)
		until(t, "it fails", func() bool { return r.Stats().Role == Failing })
		away.Store(false)
		started := time.Now()
		until(t, "it leads again", leads)
		if took := time.Since(started); took > time.Second {
			t.Errorf("after one failure it took %s", took)
		}
		stop()
	})
}

// Taking the lease takes longer than the lease lasts: the relay leads all the
// same, as long as nobody else has come in between.
func TestSlowAcquireLeads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		s := newSeat(b)
		s.meet = func(_ context.Context, operation string) error {
			if operation == "after acquire" {
				<-time.After(3200 * time.Millisecond)
			}
			return nil
		}
		b.append("m1", "k")
		_, stop := process(t, s, broker, nil)
		until(t, "it publishes", b.empty)
		stop()
	})
}
