package relay

import (
	"context"
	"time"

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
	if c, ok := t.(interface{ Cleanup(func()) }); ok {
		c.Cleanup(s.kill) // so that a test that fails leaves its bubble
	}
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
// repetitions are left out, the numbers of a lane ascend; all that within each
// epoch. It returns the ids, in the order in which they first came, per key.
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
	type message struct{ epoch, id string }
	byPlace, byID, seen := map[place]string{}, map[message]place{}, map[string]bool{}
	count, highest := map[lane]uint64{}, map[lane]uint64{}
	keys := map[string][]string{}
	for _, m := range stored {
		at := place{lane{m.Stamp.Epoch, m.Stamp.Lane}, m.Stamp.Sequence}
		if id, ok := byPlace[at]; ok && id != m.ID {
			t.Fatalf("number %v stands for %s and for %s", at, id, m.ID)
		}
		if before, ok := byID[message{at.epoch, m.ID}]; ok {
			if before != at {
				t.Fatalf("message %s has the numbers %v and %v", m.ID, before, at)
			}
			continue
		}
		byPlace[at], byID[message{at.epoch, m.ID}] = m.ID, at
		if highest[at.lane] > at.number {
			t.Fatalf("number %d of lane %v follows %d", at.number, at.lane, highest[at.lane])
		}
		count[at.lane]++
		highest[at.lane] = max(highest[at.lane], at.number)
		if !seen[m.ID] {
			seen[m.ID] = true
			keys[m.Key] = append(keys[m.Key], m.ID)
		}
	}
	for l, n := range highest {
		if count[l] != n {
			t.Fatalf("lane %v has numbers up to %d, but only %d of them", l, n, count[l])
		}
	}
	return keys
}
