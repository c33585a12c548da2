package relay

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"tidings.example"
	"tidings.example/broker/inproc"
)

// A round is one relay process until it is killed, with what happens meanwhile.
type round struct {
	before, during []appended
	countdown      int
	late           bool
	lost, failing  int
	ask            Reading // an operator's wish at the beginning of the round, if rows come from both
	lose           bool    // the log is lost before the round
}

// appended is one message; late ones are committed only after the round, and bad
// ones cannot be published.
type appended struct {
	key       int
	late, bad bool
}

func rounds(t *rapid.T) []round {
	some := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) appended {
		return appended{key: rapid.IntRange(0, 3).Draw(t, "key"), late: rapid.IntRange(0, 5).Draw(t, "late") == 0,
			bad: rapid.IntRange(0, 15).Draw(t, "bad") == 0}
	}), 0, 12)
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) round {
		return round{before: some.Draw(t, "before"), during: some.Draw(t, "during"),
			countdown: rapid.IntRange(1, 25).Draw(t, "killed at operation"), late: rapid.Bool().Draw(t, "after it"),
			lost: rapid.IntRange(0, 3).Draw(t, "lost acknowledgements"), failing: rapid.IntRange(0, 3).Draw(t, "failures"),
			ask:  rapid.SampledFrom([]Reading{"", FromTable, FromLog}).Draw(t, "asked for"),
			lose: rapid.IntRange(0, 3).Draw(t, "log lost") == 0}
	}), 1, 4).Draw(t, "rounds")
}

// The heart of the matter: relays killed before or after any operation, rows
// committed late, brokers that fail or lose acknowledgements. What the next
// relays do must add up, wherever rows are read from.
func TestRelaySurvivesKillsAnywhere(t *testing.T) {
	t.Parallel()
	for _, from := range []Reading{FromTable, FromLog, both} {
		t.Run(string(from), func(t *testing.T) {
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
					killedAnywhere(failing{}, from, script)
				})
				if failure != "" {
					rt.Fatal(failure)
				}
			})
		})
	}
}

// both stands for a relay that changes between the two ways to read.
const both Reading = "both"

// failing is a tb that leaves by panic.
type failing struct{}
type failed string

func (failing) Helper()                           {}
func (failing) Fatal(args ...any)                 { panic(failed(fmt.Sprint(args...))) }
func (failing) Fatalf(format string, args ...any) { panic(failed(fmt.Sprintf(format, args...))) }
func (failing) Errorf(format string, args ...any) { panic(failed(fmt.Sprintf(format, args...))) }

func killedAnywhere(t tb, from Reading, script []round) {
	b, broker := newBook(), inproc.New(inproc.Config{})
	if from == FromLog {
		b.reading = FromLog
	}
	rows, losses := 0, 0
	var late []Row
	add := func(all []appended) {
		for _, a := range all {
			rows++
			r := Row{Position: b.position(), Message: message(fmt.Sprintf("m%03d", rows), fmt.Sprintf("k%d", a.key))}
			if a.bad {
				r.Message.Type = ""
			}
			if a.late {
				late = append(late, r)
			} else {
				b.commit(r)
			}
		}
	}
	for _, c := range script {
		add(c.before)
		if from == both {
			if c.ask != "" {
				b.ask(c.ask)
			}
			if c.lose && b.saved() >= 0 {
				losses++
				b.lose()
			}
		}
		s := newSeat(b)
		s.countdown, s.late = c.countdown, c.late
		broker.LoseAckNext(c.lost, errors.New("connection lost"))
		broker.FailNext(c.failing, errors.New("not now"))
		stored, saved := len(broker.Messages("orders")), b.saved()
		_, stop := process(t, s, broker, nil)
		add(c.during)
		until(t, "killed or idle", func() bool { return s.ctx.Err() != nil || b.settled() })
		s.kill()
		stop()
		if from == FromLog {
			repeatsOnlyBehind(t, b, saved, broker.Messages("orders"), stored)
		}
		b.commit(late...)
		late = nil
	}
	stored, saved := len(broker.Messages("orders")), b.saved()
	_, stop := process(t, newSeat(b), broker, nil)
	until(t, "everything is published", func() bool {
		b.repair(func(m *tidings.Message) { m.Type = "OrderCreated" })
		return b.settled() && b.nothingAside()
	})
	stop()
	if from == FromLog {
		repeatsOnlyBehind(t, b, saved, broker.Messages("orders"), stored)
	}
	got := 0
	for _, ids := range consistent(t, broker.Messages("orders")) {
		got += len(ids)
	}
	if got != rows {
		t.Fatalf("%d messages committed, %d published", rows, got)
	}
	if len(b.wrong) > 0 {
		t.Fatalf("asked of the source: %v", b.wrong)
	}
	if n := len(b.reasons); rows > 0 && n != 1 && (losses == 0 || n > 1+losses) {
		t.Fatalf("epochs were opened for %q", b.reasons)
	}
}

// repeatsOnlyBehind checks that what was stored since then again was behind the
// checkpoint of then.
func repeatsOnlyBehind(t tb, b *book, saved int, all []tidings.Message, since int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	before := map[string]bool{}
	for _, m := range all[:since] {
		before[m.ID] = true
	}
	for i, e := range b.log[:max(saved, 0)] {
		if !before[e.row.Message.ID] {
			continue
		}
		for _, m := range all[since:] {
			if m.ID == e.row.Message.ID {
				t.Fatalf("message %s, entry %d of the log, was stored again, though the checkpoint was %d", m.ID, i+1, saved)
			}
		}
	}
}
