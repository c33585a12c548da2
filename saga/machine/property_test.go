package machine_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidings.example/saga/machine"
)

// TestEveryStepIsKeptOrUndone runs random sagas through random histories:
// replies in any order, twice and late, timeouts, failures of everything, crashes, an impatient
// operator. Then everything succeeds, and the saga must end, with every step
// either kept or undone, once.
func TestEveryStepIsKeptOrUndone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, plans(t))
		w.feed(machine.Started{})
		for range rapid.SampledFrom([]int{5, 15, 30, 60}).Draw(t, "actions") {
			w.act(machine.RetryNow, machine.Compensate)
		}
		w.end()
		w.check()
	})
}

// TestOperatorEndsEverything lets the operator also skip and fail: what took
// effect is then the operator's word, but the saga still ends.
func TestOperatorEndsEverything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, plans(t))
		w.feed(machine.Started{})
		for range rapid.SampledFrom([]int{5, 15, 30, 60}).Draw(t, "actions") {
			w.act(machine.RetryNow, machine.Compensate, machine.Skip, machine.Skip, machine.Fail, "dance")
		}
		w.end()
		// Junk for a saga that has ended does not fill its journal.
		before := w.i.Journal
		for range 60 {
			w.feed(machine.Replied{Token: machine.Token{Step: "s0", Attempt: 77}})
			w.feed(machine.Requested{Op: machine.Skip})
		}
		if w.i.Journal-before > 100 {
			t.Fatalf("%d journal entries about junk", w.i.Journal-before)
		}
	})
}

// act does one thing that can happen.
func (w *world) act(ops ...machine.Op) {
	steps := stepNames(w.plan)
	step := func() string { return rapid.SampledFrom(steps).Draw(w.t, "step") }
	switch rapid.IntRange(0, 12).Draw(w.t, "action") {
	case 0, 1, 2:
		if lanes := w.busy(); len(lanes) > 0 {
			w.handle(rapid.SampledFrom(lanes).Draw(w.t, "lane"))
		}
	case 3, 4, 5:
		if len(w.mail) > 0 {
			w.deliver(rapid.IntRange(0, len(w.mail)-1).Draw(w.t, "message"), rapid.IntRange(0, 3).Draw(w.t, "again") == 0)
		}
	case 6, 7:
		if next := machine.Next(w.plan, &w.i); next.After(w.now) {
			w.now = next
		}
		w.feed(machine.Woken{})
	case 8:
		// The clock goes on, or back, by any time.
		w.now = w.now.Add(time.Duration(rapid.IntRange(-5000, 8000).Draw(w.t, "ms")) * time.Millisecond)
		w.feed(machine.Woken{})
	case 9:
		if keys := w.running(); len(keys) > 0 {
			w.feed(w.endChild(rapid.SampledFrom(keys).Draw(w.t, "child")))
		}
	case 10:
		w.feed(machine.Signaled{Step: step()})
	case 11:
		if rapid.IntRange(0, 3).Draw(w.t, "operator") == 0 {
			w.feed(machine.Requested{Op: rapid.SampledFrom(ops).Draw(w.t, "op"), Step: rapid.SampledFrom(append(steps, "")).Draw(w.t, "of"),
				Success: rapid.Bool().Draw(w.t, "as done")})
		}
	case 12:
		switch rapid.IntRange(0, 2).Draw(w.t, "junk") {
		case 0:
			w.feed(machine.Undecodable{Error: "no"})
		case 1:
			w.feed(machine.Replied{Token: machine.Token{Step: step(), Attempt: 1000}, Success: true})
		case 2:
			w.feed(machine.Started{})
		}
	}
}

// end lets everything succeed until the saga has ended and nothing is on its way.
func (w *world) end() {
	w.kind = true
	for range 2000 {
		lanes, children := w.busy(), w.running()
		switch next := machine.Next(w.plan, &w.i); {
		case len(lanes) > 0:
			w.handle(lanes[0])
		case len(w.mail) > 0:
			w.deliver(0, false)
		case len(children) > 0:
			w.feed(w.endChild(children[0]))
		case w.i.State.Ended():
			return
		case w.i.State == machine.Stuck:
			w.feed(machine.Requested{Op: machine.RetryNow})
			w.signal()
		case w.signal():
		case !next.IsZero():
			if next.After(w.now) {
				w.now = next
			}
			w.feed(machine.Woken{})
		default:
			w.t.Fatalf("waits for nothing: %s", encode(w.t, w.i))
		}
	}
	w.t.Fatalf("does not end: %s", encode(w.t, w.i))
}

// signal gives all events that are waited for.
func (w *world) signal() (any bool) {
	for _, name := range machine.At(w.plan, &w.i) {
		if w.plan.Find(name).Kind == machine.Event && machine.ExpectsEvent(w.plan, &w.i, name) == machine.Expected {
			w.feed(machine.Signaled{Step: name})
			any = true
		}
	}
	return any
}

// check tells whether what took effect is what the saga says.
func (w *world) check() {
	if w.i.State == machine.Failed {
		w.t.Fatal("failed, and nobody asked for it")
	}
	for _, name := range stepNames(w.plan) {
		s, st := w.plan.Find(name), w.i.Steps[name]
		if s.Kind == machine.Group || s.Kind == machine.Event || s.Kind == machine.Wait {
			continue
		}
		kept := w.made[name] - w.undone[name]
		switch {
		case w.made[name] > 1 && s.Kind != machine.Saga, kept < 0, kept > 1:
			w.t.Fatalf("%s took effect %d times and was undone %d times", name, w.made[name], w.undone[name])
		case st.Phase == machine.Done && kept != 1:
			w.t.Fatalf("%s is done, and took effect %d times: %s", name, kept, encode(w.t, w.i))
		case st.Phase == machine.Undone && s.Compensation != "" && kept != 0:
			w.t.Fatalf("%s is undone, and what it did is not: %s", name, encode(w.t, w.i))
		case (st.Phase == machine.Refused || st.Phase == machine.Skipped || st.Phase == "") && kept != 0 && s.Compensation != "":
			w.t.Fatalf("%s is %q, and took effect: %s", name, st.Phase, encode(w.t, w.i))
		case st.Phase != machine.Done && st.Phase != machine.Undone && st.Phase != machine.Refused && st.Phase != machine.Skipped && st.Phase != "":
			w.t.Fatalf("the saga is %s, and %s is %s", w.i.State, name, st.Phase)
		case s.Pivot && w.i.State == machine.Compensated && kept != 0 && !w.ordered:
			w.t.Fatalf("the saga is compensated, and its pivot %s took effect: %s", name, encode(w.t, w.i))
		case w.i.State == machine.Compensated && st.Phase == machine.Done:
			w.t.Fatalf("the saga is compensated, and %s is done", name)
		}
	}
}

func stepNames(p *machine.Plan) []string {
	var names []string
	for i := range p.Steps {
		names = append(names, p.Steps[i].Name)
		for j := range p.Steps[i].Members {
			names = append(names, p.Steps[i].Members[j].Name)
		}
	}
	return names
}
