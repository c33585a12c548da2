package relay

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"tidings.example"
	"tidings.example/broker/inproc"
)

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

// An operator takes the set-aside rows away: the key is free again.
func TestDiscardReleasesTheKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		bad := message("m1", "k")
		bad.Type = ""
		b.commit(Row{Position: b.position(), Message: bad})
		r, stop := process(t, newSeat(b), broker, nil)
		until(t, "the key is held", func() bool { return r.Stats().Held == 1 })
		b.mu.Lock()
		clear(b.aside)
		clear(b.held)
		b.mu.Unlock()
		until(t, "it is held no more", func() bool { return r.Stats().Held == 0 })
		b.append("m2", "k")
		until(t, "the outbox is empty", b.empty)
		stop()
		if got := consistent(t, broker.Messages("orders"))["k"]; !slices.Equal(got, []string{"m2"}) {
			t.Errorf("published %v", got)
		}
	})
}

// The reason goes into a column of text: whatever the store or the broker said,
// it must fit, or one bad row would stop everything.
func TestReasonsFitIntoAColumn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		b.commit(Row{Position: b.position(), Err: errors.New("bad \xff\x00\n" + strings.Repeat("ä", 10_000))})
		var reason string
		s := newSeat(b)
		_, stop := process(t, s, broker, func(c *Config) { c.Observer = observer(func(a SetAside) { reason = a.Reason }) })
		until(t, "the row is set aside", b.empty)
		stop()
		if len(reason) > maxReason || !utf8.ValidString(reason) || strings.ContainsAny(reason, "\x00\n") || !strings.HasPrefix(reason, "bad ") {
			t.Errorf("the reason has %d bytes: %.30q...", len(reason), reason)
		}
	})
}

type observer func(SetAside)

func (observer) Batch(Batch)           {}
func (o observer) SetAside(a SetAside) { o(a) }

// A row of the key is committed at the very moment at which its set-aside rows
// come back: it must go out behind them.
func TestRowCommittedWhileItsKeyReturns(t *testing.T) {
	t.Parallel()
	for _, moment := range []string{"commit", "after commit", "read"} {
		synctest.Test(t, func(t *testing.T) {
			b, broker := newBook(), inproc.New(inproc.Config{})
			bad := message("m1", "k")
			bad.Type = ""
			b.commit(Row{Position: b.position(), Message: bad})
			s := newSeat(b)
			var repaired atomic.Bool
			s.meet = func(_ context.Context, operation string) error {
				back := b.nothingAside()
				if operation == moment && repaired.Load() && (back || moment == "commit") && repaired.Swap(false) {
					b.append("m2", "k")
				}
				return nil
			}
			// Renewals at other times than sweeps, which would find the rows as well.
			r, stop := process(t, s, broker, func(c *Config) { c.LeaseTTL, c.Idle = 2*time.Second, 300*time.Millisecond })
			until(t, "the key is held", func() bool { return r.Stats().Held == 1 })
			b.repair(func(m *tidings.Message) { m.Type = "OrderCreated" })
			repaired.Store(true)
			until(t, "the outbox is empty", func() bool { return b.empty() && r.Stats().Held == 0 })
			stop()
			if got := consistent(t, broker.Messages("orders"))["k"]; !slices.Equal(got, []string{"m1", "m2"}) {
				t.Errorf("%s: published %v", moment, got)
			}
		})
	}
}

// The database tells which keys are held, and while its answer is on its way
// the relay holds another one: the answer must not release it.
func TestOldAnswerReleasesNoKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		s := newSeat(b)
		answered := make(chan struct{})
		s.meet = func(_ context.Context, operation string) error {
			if operation != "after renew" {
				return nil
			}
			select {
			case <-answered:
				return nil
			default:
			}
			bad := message("m1", "k")
			bad.Type = ""
			b.commit(Row{Position: b.position(), Message: bad})
			until(t, "the row is set aside", b.empty)
			close(answered)
			return nil
		}
		_, stop := process(t, s, broker, nil)
		<-answered
		<-time.After(100 * time.Millisecond)
		b.append("m2", "k")
		until(t, "the outbox is empty", b.empty)
		stop()
		if got := broker.Messages("orders"); len(got) != 0 {
			t.Errorf("published %v", got)
		}
	})
}
