package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings.example"
	"tidings.example/broker/inproc"
)

func TestBrokerFailureKeepsOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		broker.FailNext(3, errors.New("no leader"))
		var want []string
		for i := range 20 {
			want = append(want, fmt.Sprintf("m%02d", i))
			b.append(want[i], "k")
		}
		r, stop := process(t, newSeat(b), broker, nil)
		until(t, "it says why it is not ready, or is through", func() bool {
			err := r.Ready()
			return b.empty() || err != nil && strings.Contains(err.Error(), "no leader")
		})
		until(t, "the outbox is empty", b.empty)
		if err := r.Ready(); err != nil {
			t.Errorf("not ready after the failure is over: %v", err)
		}
		stop()
		if got := consistent(t, broker.Messages("orders"))["k"]; !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
	})
}

func TestBrokerAwayIsNotReadyAndStopsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		restore := broker.Cut()
		defer restore()
		b.append("m1", "k")
		r, stop := process(t, newSeat(b), broker, nil)
		until(t, "it is not ready", func() bool {
			err := r.Ready()
			return err != nil && strings.Contains(err.Error(), "broker")
		})
		started := time.Now()
		stop()
		if took := time.Since(started); took > 6*time.Second {
			t.Errorf("stopping took %s", took)
		}
	})
}

// meddler is a broker of which Publish can be meddled with.
type meddler struct {
	*inproc.Broker
	calls   atomic.Int32
	publish func(call int32, ctx context.Context, ms []*tidings.Message, done func(int, error))
}

func (m *meddler) Publish(ctx context.Context, ms []*tidings.Message, done func(int, error)) {
	m.publish(m.calls.Add(1), ctx, ms, done)
}

// The broker reports that the first message has failed, at the moment when the
// relay has decided to hand over the next plan but has not done it yet. What
// is handed over then would overtake the message that failed.
func TestFailureReportedWhileHandingOverKeepsOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		release := broker.HoldAcks()
		broker.FailNext(1, errors.New("no leader"))
		m := &meddler{Broker: broker}
		m.publish = func(call int32, ctx context.Context, ms []*tidings.Message, done func(int, error)) {
			if call == 2 {
				release()
			}
			broker.Publish(ctx, ms, done)
		}
		for i := range 8 {
			b.append(fmt.Sprintf("m%d", i), "k")
		}
		_, stop := process(t, newSeat(b), broker, func(c *Config) { c.Broker = m })
		until(t, "the outbox is empty", b.empty)
		stop()
		if got := consistent(t, broker.Messages("orders"))["k"]; len(got) != 8 {
			t.Errorf("got %v", got)
		}
	})
}

// While one key cannot be published, others of the same plans arrive, and only
// once: trying again must not repeat what is not concerned.
func TestLastingFailureRepeatsNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		var repaired atomic.Bool
		m := &meddler{Broker: broker}
		// Acknowledgements take 20 ms, unless the context ends before.
		m.publish = func(_ int32, ctx context.Context, ms []*tidings.Message, done func(int, error)) {
			for i, one := range ms {
				if one.Key == "missing" && !repaired.Load() {
					done(i, errors.New("no such topic"))
					continue
				}
				ack := make(chan error, 1)
				broker.Publish(context.Background(), ms[i:i+1], func(_ int, err error) { ack <- err })
				go func() {
					sleep(ctx, 20*time.Millisecond)
					if err := <-ack; ctx.Err() == nil {
						done(i, err)
					} else {
						done(i, ctx.Err())
					}
				}()
			}
		}
		for i := range 8 {
			b.append(fmt.Sprintf("m%d", i), []string{"good", "missing"}[i%2])
		}
		r, stop := process(t, newSeat(b), broker, func(c *Config) { c.Broker = m })
		<-time.After(time.Minute)
		if err := r.Ready(); err == nil || !strings.Contains(err.Error(), "no such topic") {
			t.Errorf("Ready says %v", err)
		}
		if n := len(broker.Messages("orders")); n > 3*8 {
			t.Errorf("after a minute the broker has %d messages", n)
		}
		repaired.Store(true)
		until(t, "the outbox is empty", b.empty)
		if s := r.Stats(); s.Repeated == 0 {
			t.Errorf("stats do not count what was repeated: %+v", s)
		}
		stop()
		if got := consistent(t, broker.Messages("orders")); len(got["good"]) != 4 || len(got["missing"]) != 4 {
			t.Errorf("got %v", got)
		}
	})
}

// What the broker has acknowledged is removed at a stop, though something else
// is never acknowledged: the next relay need not repeat it.
func TestStopRecordsWhatHasArrived(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		release := broker.HoldAcks()
		m := &meddler{Broker: broker}
		m.publish = func(call int32, ctx context.Context, ms []*tidings.Message, done func(int, error)) {
			if call == 1 {
				broker.Publish(ctx, ms, done)
				return
			}
			release()
			<-ctx.Done()
			for i := range ms {
				done(i, ctx.Err())
			}
		}
		for i := range 8 {
			b.append(fmt.Sprintf("m%d", i), "k")
		}
		r, stop := process(t, newSeat(b), broker, func(c *Config) { c.Broker = m })
		until(t, "the second plan hangs", func() bool { return m.calls.Load() == 2 })
		stop()
		if s := r.Stats(); s.Published != 4 {
			t.Errorf("stats are %+v", s)
		}
		if len(b.rows) != 4 || len(b.plans) != 1 || b.holder != "" {
			t.Errorf("%d rows and %d plans are left, the lease is %q's", len(b.rows), len(b.plans), b.holder)
		}
	})
}

// A slow broker that makes progress is no reason to be not ready.
func TestSlowBrokerIsReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		m := &meddler{Broker: broker}
		m.publish = func(_ int32, ctx context.Context, ms []*tidings.Message, done func(int, error)) {
			for i := range ms {
				sleep(ctx, 2*time.Second)
				broker.Publish(ctx, ms[i:i+1], func(_ int, err error) { done(i, err) })
			}
		}
		for i := range 8 {
			b.append(fmt.Sprintf("m%d", i), "k")
		}
		r, stop := process(t, newSeat(b), broker, func(c *Config) { c.Broker = m })
		until(t, "the outbox is empty", func() bool {
			if err := r.Ready(); err != nil && r.Stats().Role == Leading {
				t.Errorf("not ready: %v", err)
			}
			return b.empty()
		})
		stop()
	})
}

// While the broker is away there is nothing to read for.
func TestBrokerAwayDoesNotSpin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		m := &meddler{Broker: broker}
		m.publish = func(_ int32, ctx context.Context, ms []*tidings.Message, done func(int, error)) {
			go func() {
				<-ctx.Done()
				for i := range ms {
					done(i, ctx.Err())
				}
			}()
		}
		b.append("m1", "k")
		s := newSeat(b)
		var reads atomic.Int32
		s.meet = func(_ context.Context, operation string) error {
			if operation == "read" {
				reads.Add(1)
			}
			return nil
		}
		_, stop := process(t, s, broker, func(c *Config) { c.Broker = m })
		<-time.After(100 * time.Second)
		if n := reads.Load(); n > 1000 {
			t.Errorf("%d reads in 100 s", n)
		}
		stop()
	})
}
