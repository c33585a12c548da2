package inbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/inbox"
	"tidings.example/store/memory"
)

// settling is a GiveUp that writes which message it settled, and why.
func settling(ctx context.Context, tx *memory.Tx, m *tidings.Message, failure error) (bool, error) {
	before, err := tx.Get(ctx, "given up/"+m.ID)
	if err != nil {
		return false, err
	}
	return true, tx.Put(ctx, "given up/"+m.ID, before+failure.Error()+";")
}

func (b *bench) givenUp(id, want string) {
	b.t.Helper()
	if got := b.db.Get("given up/" + id); got != want {
		b.t.Errorf("%s given up for %q, want %q", id, got, want)
	}
}

func TestGiveUpSettlesInsteadOfParking(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fails error
		calls string
	}{
		"attempts used up": {errBad, "1/1 1/1 1/1 1/2"},
		"permanent":        {inbox.Permanent(errBad), "1/1 1/2"},
		"panic":            {panicError("bad"), "1/1 1/1 1/1 1/2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, config{MaxAttempts: 3, GiveUp: settling}, func(b *bench) {
				b.failing("1/1", c.fails)
				b.send(msg(1, 1), msg(1, 2))
				b.pass(time.Minute)
				b.expect("in order, and the next goes on", c.calls)
				b.expectParked("")
				b.effects("1/2")
				b.acked("1/1 1/2")
				want := "bad;"
				if name == "panic" {
					want = "handler panicked: bad;"
				}
				b.givenUp("1/1", want)

				// It counts as handled: it is not given up twice.
				b.send(msg(1, 1))
				b.givenUp("1/1", want)
				if s := b.in.Stats(); s.GivenUp != 1 || s.Parked != 0 || s.Duplicates != 1 || s.Handled != 1 {
					t.Errorf("stats %+v", s)
				}
				if s := b.lane(1); s.Last != 2 || len(s.Holes) != 0 {
					t.Errorf("lane %+v", s)
				}
			})
		})
	}
}

func TestGiveUpKnowsTheCause(t *testing.T) {
	t.Parallel()
	cause := ""
	run(t, config{GiveUp: func(ctx context.Context, _ *memory.Tx, _ *tidings.Message, _ error) (bool, error) {
		cause = tidings.Cause(ctx).ID
		return true, nil
	}}, func(b *bench) {
		b.failing("1/1", inbox.Permanent(errBad))
		b.send(msg(1, 1))
		if cause != "1/1" {
			t.Errorf("cause is %q", cause)
		}
	})
}

func TestGiveUpMayLeaveItToParking(t *testing.T) {
	t.Parallel()
	run(t, config{GiveUp: func(context.Context, *memory.Tx, *tidings.Message, error) (bool, error) { return false, nil }}, func(b *bench) {
		b.failing("1/1", inbox.Permanent(errBad))
		b.send(msg(1, 1), msg(1, 2))
		b.expectParked("1/1:1 1/2:0")
	})
}

// A GiveUp that fails is retried, and what it did rolled back; a message that
// cannot be given up is parked.
func TestGiveUpThatFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fails  error
		parked string
		calls  int
	}{
		"for a while":  {memory.ErrDeadlock, "", 20},
		"for good":     {inbox.Permanent(errors.New("no way")), "1/1:1", 1},
		"again, again": {errors.New("no way"), "1/1:1", 4},
		"by a panic":   {panicError("no way"), "1/1:1", 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			run(t, config{MaxAttempts: 4, GiveUp: func(ctx context.Context, tx *memory.Tx, m *tidings.Message, failure error) (bool, error) {
				if calls++; calls == 20 {
					return settling(ctx, tx, m, failure)
				}
				if _, err := settling(ctx, tx, m, failure); err != nil {
					return false, err
				}
				if text, ok := c.fails.(panicError); ok {
					panic(string(text))
				}
				return true, c.fails
			}}, func(b *bench) {
				b.failing("1/1", inbox.Permanent(errBad))
				b.send(msg(1, 1))
				b.pass(10 * time.Minute)
				b.expectParked(c.parked)
				b.expect("the handler once", "1/1")
				if calls != c.calls {
					t.Errorf("asked %d times, want %d", calls, c.calls)
				}
				if c.parked == "" {
					b.givenUp("1/1", "bad;")
					return
				}
				b.givenUp("1/1", "")
				if !strings.Contains(b.log.String(), "bad; giving it up failed: ") {
					t.Errorf("the log does not say why: %s", b.log)
				}
			})
		})
	}
}

// Behind a parked message nothing is given up out of order; when the first is
// retried and fails again, it and then those behind it are.
func TestGiveUpOfParkedMessages(t *testing.T) {
	t.Parallel()
	settle := false
	run(t, config{GiveUp: func(ctx context.Context, tx *memory.Tx, m *tidings.Message, failure error) (bool, error) {
		if !settle {
			return false, nil
		}
		return settling(ctx, tx, m, failure)
	}}, func(b *bench) {
		b.failing("1/1", inbox.Permanent(errBad))
		b.failing("1/2", errors.New("worse"))
		b.send(msg(1, 1), msg(1, 2), msg(1, 3))
		b.expectParked("1/1:1 1/2:0 1/3:0")
		b.retry()
		b.expectParked("1/1:2 1/2:0 1/3:0")
		settle = true
		b.retry()
		b.expectParked("")
		b.givenUp("1/1", "bad;")
		b.givenUp("1/2", "worse;")
		b.effects("1/3")
		b.expect("in order", "1/1 1/1 1/1 1/2 1/3")
	})
}

// What the handler never got is parked as ever.
func TestGiveUpIsNotAskedAboutInvalidMessages(t *testing.T) {
	t.Parallel()
	run(t, config{GiveUp: settling, Strict: true}, func(b *bench) {
		invalid := msg(1, 1)
		invalid.Type = ""
		b.send(invalid, msg(2, 1), msg(2, 3))
		b.expectParked("1/1:0 2/3:0")
		b.givenUp("1/1", "")
		b.retry()
		b.expectParked("1/1:1 2/3:0")
	})
}
