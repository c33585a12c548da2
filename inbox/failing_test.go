package inbox_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/broker"
	"tidings.example/inbox"
	"tidings.example/store/memory"
)

func TestRetriesThenParks(t *testing.T) {
	t.Parallel()
	run(t, config{MaxAttempts: 3, Concurrency: 1}, func(b *bench) {
		b.failing("1/1", errBad)
		b.send(msg(1, 1), msg(1, 2), msg(2, 1))
		b.expect("at once: other lanes go on while one waits", "1/1 2/1")
		b.pass(100 * time.Millisecond)
		b.expect("after the first wait", "1/1 2/1 1/1")
		b.pass(200 * time.Millisecond)
		b.expect("after the second, twice as long", "1/1 2/1 1/1 1/1")
		b.expectParked("1/1:3 1/2:0")
		b.acked("1/1 1/2 2/1")
		b.effects("2/1")
		if s := b.in.Stats(); s.Failures != 3 || s.Parked != 2 || s.Waiting != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestPermanentParksAtOnce(t *testing.T) {
	t.Parallel()
	run(t, config{}, func(b *bench) {
		b.failing("1/1", inbox.Permanent(fmt.Errorf("no such\ncustomer: %w", errBad)))
		b.send(msg(1, 1))
		list, err := b.db.Admin().ListParked(b.t.Context(), admin.ParkedFilter{})
		if err != nil || len(list) != 1 || list[0].Reason != "no such customer: bad" || list[0].Attempts != 1 || list[0].Subscriber != "test" {
			t.Errorf("parked %+v, %v", list, err)
		}
	})
}

func TestTransientIsRetriedForEver(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"marked": inbox.Transient(errBad), "store": fmt.Errorf("reserve: %w", memory.ErrDeadlock), "deadline": context.DeadlineExceeded,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, config{MaxAttempts: 2}, func(b *bench) {
				b.failing("1/1", err)
				b.send(msg(1, 1), msg(2, 1))
				b.pass(time.Hour)
				b.expectParked("")
				b.effects("2/1")
				if s := b.in.Stats(); s.Waiting != 1 || s.Failures < 700 {
					t.Errorf("stats %+v", s)
				}
				b.failing("1/1", nil)
				b.pass(5 * time.Second)
				b.effects("1/1 2/1")
			})
		})
	}
}

// Of a handler's mark and the store's opinion the mark wins.
func TestPermanentWinsOverTheStore(t *testing.T) {
	t.Parallel()
	run(t, config{}, func(b *bench) {
		b.failing("1/1", inbox.Permanent(memory.ErrDeadlock))
		b.send(msg(1, 1))
		b.expectParked("1/1:1")
	})
}

func TestHandlerTimeoutIsTransient(t *testing.T) {
	t.Parallel()
	run(t, config{HandlerTimeout: time.Second, MaxAttempts: 1}, func(b *bench) {
		release := b.hold("1/1")
		b.send(msg(1, 1))
		b.pass(time.Minute)
		b.expectParked("")
		release()
		b.pass(10 * time.Second)
		b.effects("1/1")
	})
}

func TestPanicIsAnErrorWithItsStackLoggedOnce(t *testing.T) {
	t.Parallel()
	run(t, config{MaxAttempts: 3}, func(b *bench) {
		b.failing("1/1", panicError("no money"))
		b.send(msg(1, 1))
		b.pass(time.Minute)
		b.expectParked("1/1:3")
		if n := strings.Count(b.log.String(), "stack="); n != 1 {
			t.Errorf("%d stacks are logged", n)
		}
		if !strings.Contains(b.log.String(), "setup_test.go") {
			t.Errorf("the stack does not say where: %s", b.log)
		}
	})
}

func TestHeldKeyKeepsItsOrder(t *testing.T) {
	t.Parallel()
	run(t, config{}, func(b *bench) {
		b.failing("1/1", inbox.Permanent(errBad))
		other := msg(1, 3)
		other.Key = "another key of the lane"
		b.send(msg(1, 1), msg(1, 2), other, msg(1, 4))
		b.expect("behind a parked message none of its key is handled", "1/1 1/3")
		b.expectParked("1/1:1 1/2:0 1/4:0")
		b.pass(10 * time.Second)
		if s := b.in.Stats(); s.HeldKeys != 1 || s.HeldFor < 9*time.Second {
			t.Errorf("stats %+v", s)
		}

		// A retry that fails changes nothing but the count.
		b.retry()
		b.expectParked("1/1:2 1/2:0 1/4:0")
		b.send(msg(1, 5))
		b.expectParked("1/1:2 1/2:0 1/4:0 1/5:0")

		b.failing("1/1", nil)
		b.retry()
		b.expectParked("")
		b.expect("in order", "1/1 1/3 1/1 1/1 1/2 1/4 1/5")
		b.effects("1/1 1/2 1/3 1/4 1/5")
		b.send(msg(1, 6))
		b.effects("1/1 1/2 1/3 1/4 1/5 1/6")
		if s := b.in.Stats(); s.Retried != 4 || s.Handled != 6 {
			t.Errorf("stats %+v", s)
		}
	})
}

// first returns the id of the oldest parked message.
func (b *bench) first() int64 {
	b.t.Helper()
	list, err := b.db.Admin().ListParked(b.t.Context(), admin.ParkedFilter{Heads: true})
	if err != nil || len(list) == 0 {
		b.t.Fatalf("nothing is parked: %v", err)
	}
	return list[0].ID
}

var because = admin.Action{Actor: "test", Reason: "to see what happens"}

// retry asks to retry the oldest parked message's key.
func (b *bench) retry() {
	b.t.Helper()
	if err := b.db.Admin().RetryParked(b.t.Context(), b.first(), because); err != nil {
		b.t.Fatal(err)
	}
	b.in.RetryParked()
	synctest.Wait()
}

func TestRetryIsFoundWithoutASignal(t *testing.T) {
	t.Parallel()
	run(t, config{}, func(b *bench) {
		b.failing("1/1", inbox.Permanent(errBad))
		b.send(msg(1, 1))
		b.failing("1/1", nil)
		if err := b.db.Admin().RetryParked(b.t.Context(), b.first(), because); err != nil {
			t.Fatal(err)
		}
		b.pass(time.Second)
		b.effects("1/1")
	})
}

func TestEditAndDiscard(t *testing.T) {
	t.Parallel()
	run(t, config{}, func(b *bench) {
		b.failing("1/1", inbox.Permanent(errBad))
		b.failing("1/2", inbox.Permanent(errBad))
		b.send(msg(1, 1), msg(1, 2), msg(1, 3))
		if err := b.db.Admin().EditParked(b.t.Context(), b.first(), []byte("edited"), because); err != nil {
			t.Fatal(err)
		}
		b.retry()
		b.effects("edited")
		b.expectParked("1/2:1 1/3:0")
		if err := b.db.Admin().DiscardParked(b.t.Context(), b.first(), because); err != nil {
			t.Fatal(err)
		}
		b.pass(time.Second)
		b.effects("1/3 edited")
		b.expectParked("")
		if audit := b.db.Admin().Audit(); len(audit) != 3 || string(audit[0].Was.Payload) != "1/1" || string(audit[2].Was.Payload) != "1/2" {
			t.Errorf("audit %+v", audit)
		}
	})
}

// A transient failure of a retry leaves the request standing.
func TestRetrySurvivesTransientFailures(t *testing.T) {
	t.Parallel()
	run(t, config{}, func(b *bench) {
		b.failing("1/1", inbox.Permanent(errBad))
		b.send(msg(1, 1))
		b.failing("1/1", inbox.Transient(errBad))
		b.retry()
		b.failing("1/1", nil)
		b.pass(time.Second)
		b.effects("1/1")
	})
}

func TestUndecodableIsParkedInItsTurn(t *testing.T) {
	t.Parallel()
	run(t, config{}, func(b *bench) {
		m := msg(1, 2)
		m.Type = ""
		b.send(msg(1, 1))
		b.feed.deliveries <- broker.Delivery{Message: m, Err: errBad}
		b.send(msg(1, 3))
		b.expectParked("1/2:0 1/3:0")
		if s := b.lane(1); s.Last != 3 || len(s.Holes) != 0 {
			t.Errorf("lane %+v", s)
		}
		// There is nothing that a handler could make of it.
		b.retry()
		b.expectParked("1/2:1 1/3:0")
		b.expect("never the bad one", "1/1")
	})
}

func TestUnreadableIsParkedOnce(t *testing.T) {
	t.Parallel()
	run(t, config{}, func(b *bench) {
		raw := tidings.Message{Channel: "c", Payload: []byte("\xff\x00junk"), Key: "k\x00\xff"}
		for range 2 {
			b.feed.deliveries <- broker.Delivery{Message: raw, Err: errBad}
		}
		synctest.Wait()
		list, err := b.db.Admin().ListParked(b.t.Context(), admin.ParkedFilter{})
		if err != nil || len(list) != 1 || list[0].Reason != "not a valid message: bad" {
			t.Fatalf("parked %+v, %v", list, err)
		}
		m := list[0].Message
		if m.Key != "k\uFFFD" || m.ID == "" || m.Time.IsZero() {
			t.Errorf("message %+v", m)
		}
	})
}

// A broker adapter may let something pass that no store can keep.
func TestInvalidMessageIsParked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(m *tidings.Message){
		"epoch":    func(m *tidings.Message) { m.Stamp.Epoch = "" },
		"sequence": func(m *tidings.Message) { m.Stamp.Sequence = 1 << 63 },
		"lane":     func(m *tidings.Message) { m.Stamp.Lane = -1 },
		"source":   func(m *tidings.Message) { m.Source = strings.Repeat("x", 500) },
		"type":     func(m *tidings.Message) { m.Type = "" },
		"header":   func(m *tidings.Message) { m.Headers = tidings.Headers{"a": "\x00" + strings.Repeat("é", 1<<14)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, config{}, func(b *bench) {
				m := msg(1, 1)
				change(&m)
				b.send(m)
				b.expectParked("1/1:0")
				b.expect("never called", "")
				b.acked("1/1")
			})
		})
	}
}

func TestBackoffIsBounded(t *testing.T) {
	t.Parallel()
	run(t, config{Backoff: inbox.Backoff{Initial: time.Second, Max: 4 * time.Second}, MaxAttempts: 100}, func(b *bench) {
		b.failing("1/1", errBad)
		b.send(msg(1, 1))
		b.pass(1*time.Second + 2*time.Second + 3*4*time.Second)
		b.expect("after 0, 1, 3, 7, 11, 15 s", strings.TrimSpace(strings.Repeat("1/1 ", 6)))
	})
}
