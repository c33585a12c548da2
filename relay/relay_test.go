package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"tidings.example"
	"tidings.example/broker/inproc"
)

// tb is what *testing.T and *rapid.T share.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// process starts a relay at a seat, as a process of its own would run it. The
// returned function stops it cleanly; the seat's kill ends it otherwise.
func process(t tb, s *seat, b *inproc.Broker, change func(*Config)) (*Relay, func()) {
	t.Helper()
	cfg := Config{Source: s, Broker: b, BatchRows: 4, Window: 2, LeaseTTL: 3 * time.Second, Lanes: 12}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(s.ctx)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return r, func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	}
}

// until lets time pass until the condition holds.
func until(t tb, what string, holds func() bool) {
	t.Helper()
	for range 10_000 {
		if holds() {
			return
		}
		<-time.After(10 * time.Millisecond) // in a synctest bubble this costs no time
	}
	t.Fatalf("after 100 s still not: %s", what)
}

// consistent checks what the broker holds: every number of a lane stands for
// one message and every message for one number, no number is missing, and where
// repetitions are left out, the numbers of a key ascend. It returns the ids, in
// order, per key.
func consistent(t tb, stored []tidings.Message) map[string][]string {
	t.Helper()
	type lane struct {
		epoch string
		n     int
	}
	type place struct {
		lane
		number uint64
	}
	byPlace, byID := map[place]string{}, map[string]place{}
	count, highest := map[lane]uint64{}, map[lane]uint64{}
	keys, last := map[string][]string{}, map[string]place{}
	for _, m := range stored {
		at := place{lane{m.Stamp.Epoch, m.Stamp.Lane}, m.Stamp.Sequence}
		if id, ok := byPlace[at]; ok && id != m.ID {
			t.Fatalf("number %v stands for %s and for %s", at, id, m.ID)
		}
		if before, ok := byID[m.ID]; ok {
			if before.epoch == at.epoch && before != at {
				t.Fatalf("message %s has the numbers %v and %v", m.ID, before, at)
			}
			continue
		}
		byPlace[at], byID[m.ID] = m.ID, at
		if before := last[m.Key]; before.lane == at.lane && before.number > at.number {
			t.Fatalf("number %d of key %s follows %d", at.number, m.Key, before.number)
		}
		last[m.Key] = at
		count[at.lane]++
		highest[at.lane] = max(highest[at.lane], at.number)
		keys[m.Key] = append(keys[m.Key], m.ID)
	}
	for l, n := range highest {
		if count[l] != n {
			t.Fatalf("lane %v has numbers up to %d, but only %d of them", l, n, count[l])
		}
	}
	return keys
}

func TestRelayPublishesInOrderAndRemoves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		want := map[string][]string{}
		for i := range 50 {
			id, key := fmt.Sprintf("m%02d", i), fmt.Sprintf("k%d", i%5)
			b.append(id, key)
			want[key] = append(want[key], id)
		}
		r, stop := process(t, newSeat(b), broker, nil)
		until(t, "the outbox is empty", b.empty)
		if err := r.Ready(); err != nil {
			t.Errorf("not ready: %v", err)
		}
		stop()
		for key, ids := range consistent(t, broker.Messages("orders")) {
			if !slices.Equal(ids, want[key]) {
				t.Errorf("key %s: got %v, want %v", key, ids, want[key])
			}
		}
		if s := r.Stats(); s.Published != 50 || s.Repeated != 0 || s.Role != Stopped {
			t.Errorf("stats are %+v", s)
		}
		if len(b.plans) != 0 || b.holder != "" {
			t.Errorf("after a clean stop there are %d plans, and the lease is held by %q", len(b.plans), b.holder)
		}
	})
}

// A round is one relay process until it is killed, with what happens meanwhile.
type round struct {
	before, during []appended
	countdown      int
	late           bool
	lost, failing  int
}

// appended is one message; late ones are committed only after the round.
type appended struct {
	key  int
	late bool
}

func rounds(t *rapid.T) []round {
	some := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) appended {
		return appended{key: rapid.IntRange(0, 3).Draw(t, "key"), late: rapid.IntRange(0, 5).Draw(t, "late") == 0}
	}), 0, 12)
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) round {
		return round{before: some.Draw(t, "before"), during: some.Draw(t, "during"),
			countdown: rapid.IntRange(1, 25).Draw(t, "killed at operation"), late: rapid.Bool().Draw(t, "after it"),
			lost: rapid.IntRange(0, 3).Draw(t, "lost acknowledgements"), failing: rapid.IntRange(0, 3).Draw(t, "failures")}
	}), 1, 4).Draw(t, "rounds")
}

// The heart of the matter: relays killed before or after any operation, rows
// committed late, brokers that fail or lose acknowledgements. What the next
// relays do must add up.
func TestRelaySurvivesKillsAnywhere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		script := rounds(rt)
		failure := ""
		synctest.Test(t, func(*testing.T) {
			// A failed property must leave the bubble as a value: rapid's own way
			// out does not cross goroutines.
			defer func() {
				if said, ok := recover().(failed); ok {
					failure = string(said)
				}
			}()
			killedAnywhere(failing{}, script)
		})
		if failure != "" {
			rt.Fatal(failure)
		}
	})
}

// failing is a tb that leaves by panic.
type failing struct{}
type failed string

func (failing) Helper()                           {}
func (failing) Fatal(args ...any)                 { panic(failed(fmt.Sprint(args...))) }
func (failing) Fatalf(format string, args ...any) { panic(failed(fmt.Sprintf(format, args...))) }
func (failing) Errorf(format string, args ...any) { panic(failed(fmt.Sprintf(format, args...))) }

func killedAnywhere(t tb, script []round) {
	b, broker := newBook(), inproc.New(inproc.Config{})
	rows := 0
	var late []Row
	add := func(all []appended) {
		for _, a := range all {
			rows++
			r := Row{Position: b.position(), Message: message(fmt.Sprintf("m%03d", rows), fmt.Sprintf("k%d", a.key))}
			if a.late {
				late = append(late, r)
			} else {
				b.commit(r)
			}
		}
	}
	for _, c := range script {
		add(c.before)
		s := newSeat(b)
		s.countdown, s.late = c.countdown, c.late
		broker.LoseAckNext(c.lost, errors.New("connection lost"))
		broker.FailNext(c.failing, errors.New("not now"))
		_, stop := process(t, s, broker, nil)
		add(c.during)
		until(t, "killed or idle", func() bool { return s.ctx.Err() != nil || b.empty() })
		s.kill()
		stop()
		b.commit(late...)
		late = nil
	}
	_, stop := process(t, newSeat(b), broker, nil)
	until(t, "the outbox is empty", b.empty)
	stop()
	got := 0
	for _, ids := range consistent(t, broker.Messages("orders")) {
		got += len(ids)
	}
	if got != rows {
		t.Fatalf("%d messages committed, %d published", rows, got)
	}
	if rows > 0 && len(b.reasons) != 1 {
		t.Fatalf("epochs were opened for %q", b.reasons)
	}
}

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

// A relay that was stopped for longer than its lease, and wakes up while the
// broker still takes its messages, must not publish.
func TestExpiredRelayPublishesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		s := newSeat(b)
		r, stop := process(t, s, broker, func(c *Config) { c.Idle = time.Hour })
		b.append("m1", "k")
		until(t, "it publishes", b.empty)
		s.mu.Lock()
		s.stuck = true
		b.holder, b.expires, b.fence = "another", time.Now().Add(time.Hour), b.fence+1
		s.mu.Unlock()
		<-time.After(4 * time.Second)
		b.append("m2", "k")
		until(t, "it notices", func() bool { return r.Stats().Role == Standby })
		stop()
		if stored := broker.Messages("orders"); len(stored) != 1 {
			t.Errorf("the broker holds %d messages", len(stored))
		}
	})
}

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

func TestBadRowIsSetAsideWithItsKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{MaxMessage: 1000})
		b.append("m1", "good")
		large := message("m2", "bad")
		large.Payload = bytes.Repeat([]byte("x"), 2000)
		b.commit(Row{Position: b.position(), Message: large})
		b.commit(Row{Position: b.position(), Err: errors.New("column channel is NULL")})
		b.append("m3", "bad")
		b.append("m4", "good")
		invalid := message("m5", "other")
		invalid.Type = ""
		b.commit(Row{Position: b.position(), Message: invalid})
		var log bytes.Buffer
		r, stop := process(t, newSeat(b), broker, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		until(t, "the outbox is empty", b.empty)
		keys := consistent(t, broker.Messages("orders"))
		if len(keys) != 1 || !slices.Equal(keys["good"], []string{"m1", "m4"}) {
			t.Errorf("published: %v", keys)
		}
		if s := r.Stats(); s.SetAside != 4 || s.Held != 2 {
			t.Errorf("stats are %+v", s)
		}
		for _, reason := range []string{"too large", "column channel is NULL", "waits behind", "type is empty"} {
			if !strings.Contains(log.String(), reason) {
				t.Errorf("the log does not say %q: %s", reason, log.String())
			}
		}

		// The operator makes the row small, and has the key tried again.
		b.mu.Lock()
		row := b.aside[2]
		row.Message.Payload = []byte("{}")
		b.aside[2] = row
		b.held[HeldKey{Channel: "orders", Key: "bad"}] = true
		b.mu.Unlock()
		b.append("m6", "bad")
		until(t, "the key has gone out", func() bool {
			return len(consistent(t, broker.Messages("orders"))["bad"]) == 3
		})
		stop()
		if got := consistent(t, broker.Messages("orders"))["bad"]; !slices.Equal(got, []string{"m2", "m3", "m6"}) {
			t.Errorf("the held key went out as %v", got)
		}
	})
}

func TestNewEpochWhereNumbersCannotGoOn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(b *book)
		lanes  int
		reason string
	}{
		"another database":      {func(b *book) { b.identity = "db-2" }, 12, "another one"},
		"other number of lanes": {func(*book) {}, 24, "lanes changed"},
		"a planned row was removed by hand": {func(b *book) {
			b.plans = []Plan{{ID: 9, Positions: EncodePositions([]int64{777})}}
		}, 12, "removed by somebody else"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, broker := newBook(), inproc.New(inproc.Config{})
				b.append("m1", "k")
				_, stop := process(t, newSeat(b), broker, nil)
				until(t, "the first is published", b.empty)
				stop()
				c.change(b)
				b.append("m2", "k")
				r, stop := process(t, newSeat(b), broker, func(cfg *Config) { cfg.Lanes = c.lanes })
				until(t, "the second is published", b.empty)
				stop()
				if len(b.reasons) != 2 || !strings.Contains(b.reasons[1], c.reason) {
					t.Errorf("epochs were opened for %q", b.reasons)
				}
				stored := broker.Messages("orders")
				consistent(t, stored)
				if s := stored[1].Stamp; s.Sequence != 1 || s.Epoch == stored[0].Stamp.Epoch || s.Epoch != r.Stats().Epoch {
					t.Errorf("stamps are %v and %v", stored[0].Stamp, s)
				}
			})
		})
	}
}

func TestNewNamesTheWrongSetting(t *testing.T) {
	t.Parallel()
	good := func() Config { return Config{Source: newSeat(newBook()), Broker: inproc.New(inproc.Config{})} }
	for field, change := range map[string]func(*Config){
		"Source":    func(c *Config) { c.Source = nil },
		"Broker":    func(c *Config) { c.Broker = nil },
		"LeaseTTL":  func(c *Config) { c.LeaseTTL = time.Millisecond },
		"Lanes":     func(c *Config) { c.Lanes = -1 },
		"BatchRows": func(c *Config) { c.BatchRows = -1 },
		"Idle":      func(c *Config) { c.Idle = -1 },
		"Holder":    func(c *Config) { c.Holder = strings.Repeat("h", 300) },
	} {
		cfg := good()
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
	if _, err := New(good()); err != nil {
		t.Error(err)
	}
}
