package relay

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings.example"
	"tidings.example/broker/inproc"
)

// unsaved publishes m1 to m5 from the log, of which no checkpoint tells: the
// relay is killed before the next.
func unsaved(t *testing.T, b *book, broker *inproc.Broker) {
	s := newSeat(b)
	_, stop := process(t, s, broker, func(c *Config) { c.Read, c.Checkpoint = FromLog, time.Hour })
	until(t, "the log is followed", func() bool { return b.saved() >= 0 })
	for i := range 5 {
		b.append(fmt.Sprintf("m%d", i+1), "k")
	}
	synctest.Wait()
	s.kill()
	stop()
	if n := len(broker.Messages("orders")); n != 5 || b.saved() != 0 {
		t.Fatalf("%d messages are published, the checkpoint is %d", n, b.saved())
	}
}

// Another number of lanes waits until what may have been published has its old
// numbers again, and then opens an epoch.
func TestTailerChangesLanes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		unsaved(t, b, broker)
		r, stop := process(t, newSeat(b), broker, func(c *Config) { c.Lanes = 24 })
		until(t, "there is a new epoch", func() bool { return r.Stats().Epochs == 1 })
		b.append("m6", "k")
		until(t, "all is published", b.settled)
		stop()
		consistent(t, broker.Messages("orders"))
		epochs := map[string][]string{}
		for _, m := range broker.Messages("orders") {
			epochs[m.Stamp.Epoch] = append(epochs[m.Stamp.Epoch], m.ID)
		}
		if got := epochs[r.Stats().Epoch]; len(epochs) != 2 || !slices.Equal(got, []string{"m6"}) {
			t.Errorf("published by epoch: %v", epochs)
		}
	})
}

// What the broker has taken before and refuses now keeps its number, so that
// what follows has its own again; whatever is killed afterwards.
func TestTailerKeepsNumbersOfWhatTheBrokerRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		s := newSeat(b)
		_, stop := process(t, s, broker, func(c *Config) { c.Read, c.Checkpoint = FromLog, time.Hour })
		until(t, "the log is followed", func() bool { return b.saved() >= 0 })
		large := message("m1", "a")
		large.Payload = bytes.Repeat([]byte("x"), 2000)
		lane := tidings.LaneOf("a", 12)
		other := "b"
		for i := 0; tidings.LaneOf(other, 12) != lane; i++ {
			other = fmt.Sprint("b", i)
		}
		b.commit(Row{Position: b.position(), Message: large}, Row{Position: b.position(), Message: message("m2", other)})
		synctest.Wait()
		s.kill()
		stop()
		smaller := inproc.New(inproc.Config{MaxMessage: 1000})
		for range 2 {
			s := newSeat(b)
			_, stop := process(t, s, smaller, func(c *Config) { c.Checkpoint = time.Hour })
			until(t, "it publishes", func() bool { return len(smaller.Messages("orders")) > 0 })
			synctest.Wait()
			s.kill()
			stop()
		}
		b.append("m3", other)
		_, stop = process(t, newSeat(b), smaller, nil)
		until(t, "all is read", b.settled)
		stop()
		want := map[string]uint64{"m2": 2, "m3": 3}
		for _, m := range smaller.Messages("orders") {
			if m.Stamp.Sequence != want[m.ID] {
				t.Errorf("message %s has number %d, want %d", m.ID, m.Stamp.Sequence, want[m.ID])
			}
		}
		if len(b.aside) != 1 || len(b.wrong) > 0 {
			t.Errorf("set aside: %v; asked of the source: %v", b.aside, b.wrong)
		}
	})
}

// The same after a take-over that finds everything in order: numbers go on.
func TestTailerGivesSameNumbersAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		unsaved(t, b, broker)
		r, stop := process(t, newSeat(b), broker, nil)
		until(t, "all is saved", b.settled)
		stop()
		if got := consistent(t, broker.Messages("orders"))["k"]; len(got) != 5 || len(broker.Messages("orders")) != 10 {
			t.Errorf("published: %v", got)
		}
		if s := r.Stats(); s.Epochs != 0 {
			t.Errorf("stats are %+v", s)
		}
	})
}

// A source without a log says so: at once where the relay is told to read it,
// and as a failure where the database says that it is read.
func TestSourceWithoutLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		plain := struct{ Source }{newSeat(b)}
		if _, err := New(Config{Source: plain, Broker: broker, Read: FromLog}); err == nil || !strings.Contains(err.Error(), "Read") {
			t.Errorf("got %v", err)
		}
		if _, err := New(Config{Source: plain, Broker: broker, Read: "wal"}); err == nil || !strings.Contains(err.Error(), "Read") {
			t.Errorf("got %v", err)
		}
		b.append("m1", "k")
		b.ask(FromLog)
		r, stop := process(t, newSeat(b), broker, func(c *Config) { c.Source = plain })
		until(t, "it publishes all the same", b.empty)
		stop()
		b.reading = FromLog
		r, stop = process(t, newSeat(b), broker, func(c *Config) { c.Source = plain })
		until(t, "it fails", func() bool { return r.Stats().Role == Failing })
		if err := r.Ready(); err == nil || !strings.Contains(err.Error(), "log") {
			t.Errorf("ready says %v", err)
		}
		stop()
	})
}
