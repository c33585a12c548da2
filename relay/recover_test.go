package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"tidings.example"
	"tidings.example/broker/inproc"
)

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

// Commits of which the answer is lost: the relay cannot know whether they took
// effect, and whether they did or not nothing may go wrong.
func TestLostAnswersOfCommits(t *testing.T) {
	t.Parallel()
	for nth := range 8 {
		synctest.Test(t, func(t *testing.T) {
			b, broker := newBook(), inproc.New(inproc.Config{})
			s := newSeat(b)
			commits := 0
			s.meet = func(_ context.Context, operation string) error {
				if operation != "after commit" {
					return nil
				}
				if commits++; commits == nth+1 {
					return errors.New("connection lost")
				}
				return nil
			}
			for i := range 6 {
				b.append(fmt.Sprintf("m%d", i), "k")
			}
			bad := message("bad", "bad")
			bad.Type = ""
			b.commit(Row{Position: b.position(), Message: bad})
			b.append("behind", "bad")
			r, stop := process(t, s, broker, nil)
			until(t, "all is published or set aside", func() bool { return b.empty() && !b.nothingAside() })
			b.repair(func(m *tidings.Message) { m.Type = "OrderCreated" })
			until(t, "all is published", func() bool { return b.empty() && r.Stats().Held == 0 && b.nothingAside() })
			stop()
			got := consistent(t, broker.Messages("orders"))
			if len(got["k"]) != 6 || !slices.Equal(got["bad"], []string{"bad", "behind"}) {
				t.Errorf("commit %d: published %v", nth, got)
			}
			if len(b.reasons) != 1 || len(b.plans) != 0 {
				t.Errorf("commit %d: epochs %q, %d plans", nth, b.reasons, len(b.plans))
			}
		})
	}
}

// The number of lanes is changed after a kill: what was on its way arrives with
// the numbers that it may have gone out with before, and is not repeated in the
// new epoch.
func TestOtherLanesAfterAKillRepeatNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		s := newSeat(b)
		s.meet = func(_ context.Context, operation string) error {
			if operation == "commit" && len(broker.Messages("orders")) > 0 {
				s.kill() // before the removal
			}
			return nil
		}
		for i := range 6 {
			b.append(fmt.Sprintf("m%d", i), fmt.Sprintf("k%d", i%2))
		}
		_, stop := process(t, s, broker, nil)
		<-s.ctx.Done()
		stop()
		if len(b.plans) == 0 {
			t.Fatal("no plan is left")
		}
		_, stop = process(t, newSeat(b), broker, func(c *Config) { c.Lanes = 24 })
		until(t, "the outbox is empty", b.empty)
		stop()
		epochs := map[string]map[string]bool{}
		for _, m := range broker.Messages("orders") {
			if epochs[m.ID] == nil {
				epochs[m.ID] = map[string]bool{}
			}
			epochs[m.ID][m.Stamp.Epoch] = true
		}
		for id, in := range epochs {
			if len(in) != 1 {
				t.Errorf("%s was published in %d epochs", id, len(in))
			}
		}
		if len(epochs) != 6 || len(b.reasons) != 2 {
			t.Errorf("%d messages, epochs opened for %q", len(epochs), b.reasons)
		}
	})
}
