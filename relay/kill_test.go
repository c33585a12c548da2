package relay

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"tidings.example/broker/inproc"
)

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
	if len(b.wrong) > 0 {
		t.Fatalf("asked of the source: %v", b.wrong)
	}
	if rows > 0 && len(b.reasons) != 1 {
		t.Fatalf("epochs were opened for %q", b.reasons)
	}
}
