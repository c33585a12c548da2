package relay

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings.example"
	"tidings.example/broker/inproc"
)

// fromLog makes a relay ask for the log when it starts.
func fromLog(c *Config) { c.Read = FromLog }

// count is how often each message was stored.
func count(ms []tidings.Message) map[string]int {
	n := map[string]int{}
	for _, m := range ms {
		n[m.ID]++
	}
	return n
}

func once(t tb, stored []tidings.Message, want int) {
	t.Helper()
	n := count(stored)
	for id, times := range n {
		if times != 1 {
			t.Errorf("message %s was stored %d times", id, times)
		}
	}
	if len(n) != want {
		t.Errorf("%d messages were stored, %d committed", len(n), want)
	}
}

func TestTailerPublishesInOrderOfCommits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		b.append("before", "k")
		r, stop := process(t, newSeat(b), broker, fromLog)
		until(t, "the log is followed", func() bool { return b.saved() >= 0 })
		late := Row{Position: b.position(), Message: message("late", "k")}
		b.append("m1", "k")
		b.append("m2", "k")
		b.commit(late)
		b.foreign(5)
		until(t, "all is saved", b.settled)
		if got := consistent(t, broker.Messages("orders"))["k"]; !slices.Equal(got, []string{"before", "m1", "m2", "late"}) {
			t.Errorf("published: %v", got)
		}
		<-time.After(3 * time.Second)
		s := r.Stats()
		if s.Reading != FromLog || s.Published != 4 || s.Repeated != 0 || s.Checkpoints == 0 || s.Behind != 0 || s.Lag.Bytes != 0 || s.InFlight != 0 {
			t.Errorf("stats are %+v", s)
		}
		saved := s.Checkpoints
		<-time.After(3 * time.Second)
		if n := r.Stats().Checkpoints; n != saved {
			t.Errorf("while nothing happened %d checkpoints were saved", n-saved)
		}
		stop()
		once(t, broker.Messages("orders"), 4)
		if len(b.wrong) > 0 {
			t.Errorf("asked of the source: %v", b.wrong)
		}
	})
}

// A row is at the broker without any timer or commit in between.
func TestTailerPublishesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		_, stop := process(t, newSeat(b), broker, fromLog)
		until(t, "the log is followed", func() bool { return b.saved() >= 0 })
		for i := range 20 {
			b.append(fmt.Sprint(i), "k")
			synctest.Wait() // time stands still meanwhile
			if n := len(broker.Messages("orders")); n != i+1 {
				t.Fatalf("%d of %d messages are there", n, i+1)
			}
		}
		stop()
	})
}

// Between the two ways, and after a log that was lost while nothing was going
// on, nothing is repeated and nothing lost.
func TestSwitchesRepeatNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		n := 0
		some := func() {
			for range 7 {
				n++
				b.append(fmt.Sprintf("m%03d", n), fmt.Sprintf("k%d", n%3))
			}
		}
		some()
		r, stop := process(t, newSeat(b), broker, nil)
		for range 3 {
			for _, to := range []Reading{FromLog, FromTable} {
				some()
				b.ask(to)
				some()
				until(t, "it is so", func() bool { some(); return b.nobodyAsks() && r.Stats().Reading == to })
				some()
			}
		}
		b.ask(FromLog)
		until(t, "all is published", b.settled)
		stop()
		b.lose()
		some()
		r, stop = process(t, newSeat(b), broker, nil)
		until(t, "all is published", b.settled)
		if s := r.Stats(); !strings.Contains(s.Lost, "missing from") || s.Epochs != 1 {
			t.Errorf("stats are %+v", s)
		}
		stop()
		consistent(t, broker.Messages("orders"))
		once(t, broker.Messages("orders"), n)
		if len(b.reasons) != 2 || len(b.wrong) > 0 {
			t.Errorf("epochs for %q; asked: %v", b.reasons, b.wrong)
		}
	})
}

// What is set aside is tried again, in order, and what follows goes on behind it.
func TestTailerSetsAsideAndRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		r, stop := process(t, newSeat(b), broker, fromLog)
		until(t, "the log is followed", func() bool { return b.saved() >= 0 })
		bad := message("bad", "k")
		bad.Type = ""
		b.commit(Row{Position: b.position(), Message: bad}, Row{Position: b.position(), Message: message("m2", "k")},
			Row{Position: b.position(), Message: message("other", "o")})
		b.tableless(Row{Message: message("m3", "k")})
		until(t, "all is read", b.settled)
		if keys := consistent(t, broker.Messages("orders")); len(keys) != 1 || len(b.aside) != 3 {
			t.Errorf("published: %v; set aside: %v", keys, b.aside)
		}
		if s := r.Stats(); s.SetAside != 3 || s.Held != 1 {
			t.Errorf("stats are %+v", s)
		}
		// Nothing was repaired: the wish ends, the key stays.
		b.repair(func(*tidings.Message) {})
		until(t, "it was tried", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return !b.held[HeldKey{Channel: "orders", Key: "k"}] })
		b.repair(func(m *tidings.Message) { m.Type = "T" })
		b.append("m4", "k")
		until(t, "all is published", func() bool { return b.nothingAside() && b.settled() })
		b.append("m5", "k")
		until(t, "all is published", b.settled)
		stop()
		if got := consistent(t, broker.Messages("orders"))["k"]; !slices.Equal(got, []string{"bad", "m2", "m3", "m4", "m5"}) {
			t.Errorf("published: %v", got)
		}
		once(t, broker.Messages("orders"), 6)
		if len(b.wrong) > 0 {
			t.Errorf("asked of the source: %v", b.wrong)
		}
	})
}

// While one message fails again and again, what was acknowledged before it is
// saved all the same.
func TestTailerSavesWhileTheBrokerFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		r, stop := process(t, newSeat(b), broker, fromLog)
		until(t, "the log is followed", func() bool { return b.saved() >= 0 })
		for i := range 3 {
			b.append(fmt.Sprint(i), "k")
			synctest.Wait()
		}
		broker.FailNext(8, errors.New("no leader"))
		b.append("failing", "k")
		synctest.Wait()
		<-time.After(time.Second)
		if err := r.Ready(); err == nil || b.saved() != 3 {
			t.Errorf("ready says %v; %d of 3 rows are saved", err, b.saved())
		}
		if s := r.Stats(); s.Behind < time.Second {
			t.Errorf("stats are %+v", s)
		}
		until(t, "all is published", b.settled)
		stop()
		once(t, broker.Messages("orders"), 4)
	})
}

// The log is lost under a relay that runs, with messages on their way and others
// acknowledged and not saved yet: what has arrived is saved before the next
// epoch begins, so that none of it is published again.
func TestLogLostUnderARelayRepeatsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		_, stop := process(t, newSeat(b), broker, fromLog)
		until(t, "the log is followed", func() bool { return b.saved() >= 0 })
		<-time.After(time.Second) // the time of a save is far from a row's
		n := 0
		some := func() {
			for range 7 {
				n++
				b.append(fmt.Sprintf("m%03d", n), fmt.Sprintf("k%d", n%3))
			}
		}
		some()
		until(t, "all is stored", func() bool { return len(broker.Messages("orders")) == n })
		release := broker.HoldAcks()
		some()
		synctest.Wait()
		b.lose()
		some()
		<-time.After(time.Second)
		release()
		until(t, "all is published", b.settled)
		stop()
		once(t, broker.Messages("orders"), n)
		if len(b.reasons) != 2 || len(b.wrong) > 0 {
			t.Errorf("epochs for %q; asked: %v", b.reasons, b.wrong)
		}
	})
}

// The log is lost while set-aside rows are on their way again: before the next
// epoch begins those that have arrived are removed, so that the next try of
// their key does not publish them under other numbers.
func TestLogLostDuringARetryRepeatsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		_, stop := process(t, newSeat(b), broker, fromLog)
		until(t, "the log is followed", func() bool { return b.saved() >= 0 })
		bad := message("bad", "k")
		bad.Type = ""
		b.commit(Row{Position: b.position(), Message: bad}, Row{Position: b.position(), Message: message("m2", "k")})
		until(t, "all is read", b.settled)
		release := broker.HoldAcks()
		b.repair(func(m *tidings.Message) { m.Type = "T" })
		until(t, "all is stored", func() bool { return len(broker.Messages("orders")) == 2 })
		b.lose()
		b.append("other", "o")
		<-time.After(time.Second) // what was read ahead has ended
		release()
		until(t, "all is published", func() bool { return b.nothingAside() && b.settled() })
		stop()
		if got := consistent(t, broker.Messages("orders"))["k"]; !slices.Equal(got, []string{"bad", "m2"}) {
			t.Errorf("published: %v", got)
		}
		once(t, broker.Messages("orders"), 3)
		if len(b.reasons) != 2 || len(b.wrong) > 0 {
			t.Errorf("epochs for %q; asked: %v", b.reasons, b.wrong)
		}
	})
}

// The log cannot be read on, and the broker takes longer than a lease lasts: what
// was read arrives first, as it would be handled twice under the next epoch.
func TestLostLogWaitsForTheBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		r, stop := process(t, newSeat(b), broker, fromLog)
		until(t, "the log is followed", func() bool { return b.saved() >= 0 })
		release := broker.HoldAcks()
		for i := range 5 { // a window has room for more
			b.append(fmt.Sprint(i), fmt.Sprint("k", i%3))
		}
		until(t, "all is stored", func() bool { return len(broker.Messages("orders")) == 5 })
		b.tear()
		b.append("behind", "k1")
		<-time.After(time.Minute)
		if s := r.Stats(); s.Role != Leading || s.Epochs != 1 {
			t.Errorf("stats are %+v", s)
		}
		release()
		until(t, "all is published", b.settled)
		stop()
		once(t, broker.Messages("orders"), 6)
		if len(b.reasons) != 2 || len(b.wrong) > 0 {
			t.Errorf("epochs for %q; asked: %v", b.reasons, b.wrong)
		}
	})
}
