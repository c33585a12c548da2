package machine_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidings.example/saga/machine"
)

// TestNothingPanics gives any inputs to instances that no saga can come to, of plans that need not be valid.
func TestNothingPanics(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := plans(t)
		if rapid.Bool().Draw(t, "broken plan") {
			breakPlan(t, p)
		}
		names := append(stepNames(p), "gone", "")
		i := junk(t, names)
		at := epoch
		for range rapid.IntRange(1, 12).Draw(t, "inputs") {
			at = at.Add(time.Duration(rapid.Int64().Draw(t, "clock")))
			what := happening(rapid.Byte().Draw(t, "what"), rapid.SampledFrom(names).Draw(t, "about"), rapid.Byte().Draw(t, "how"))
			input := machine.Input{At: at, Jitter: rapid.Float64().Draw(t, "jitter"), What: what}
			next, outputs := machine.Advance(p, i, input)
			if why := fuzzed(p, i, next, input, outputs); why != "" {
				t.Fatal(why)
			}
			i = next
		}
	})
}

// junk draws an instance.
func junk(t *rapid.T, names []string) machine.Instance {
	phases := []machine.Phase{"", machine.Deciding, machine.Active, machine.Backoff, machine.Done, machine.Skipped, machine.Refused, machine.Unknown,
		machine.Undoing, machine.UndoBackoff, machine.Undone, machine.StuckForward, machine.StuckUndo, "strange"}
	states := []machine.State{"", machine.Running, machine.Compensating, machine.Stuck, machine.Completed, machine.Compensated, machine.Failed, "strange"}
	kinds := []machine.Kind{"", machine.Local, machine.Command, machine.Group, machine.Saga}
	numbers := rapid.SliceOfN(rapid.IntRange(-2, 5), 0, 3)
	due := func(what string) time.Time {
		if rapid.Bool().Draw(t, what+" is due") {
			return epoch.Add(time.Duration(rapid.Int64().Draw(t, what)))
		}
		return time.Time{}
	}
	i := machine.Instance{State: rapid.SampledFrom(states).Draw(t, "state"), Back: rapid.Bool().Draw(t, "back"), Forward: rapid.Bool().Draw(t, "forward"),
		Journal: rapid.IntRange(-1, 9).Draw(t, "journal"), Noted: rapid.IntRange(-1, 200).Draw(t, "noted"), Deadline: due("deadline"),
		Halted: rapid.SampledFrom([]string{"", "", "halted"}).Draw(t, "halted"), Done: rapid.SliceOfN(rapid.SampledFrom(names), 0, 4).Draw(t, "done")}
	for _, name := range names {
		if rapid.IntRange(0, 2).Draw(t, name) == 0 {
			continue
		}
		if i.Steps == nil {
			i.Steps = map[string]machine.StepState{}
		}
		i.Steps[name] = machine.StepState{Phase: rapid.SampledFrom(phases).Draw(t, name+" phase"), Kind: rapid.SampledFrom(kinds).Draw(t, name+" kind"),
			Compensation: rapid.SampledFrom(kinds).Draw(t, name+" undo"), Attempt: rapid.Int().Draw(t, name+" attempt"), Before: rapid.Int().Draw(t, name+" before"),
			Open: numbers.Draw(t, name+" open"), Sent: rapid.Int().Draw(t, name+" sent"), UndoOpen: numbers.Draw(t, name+" undo open"),
			Due: due(name), Early: rapid.Bool().Draw(t, name+" early"), Lost: rapid.Bool().Draw(t, name+" lost")}
	}
	return i
}

// breakPlan makes a plan what Validate would not let pass.
func breakPlan(t *rapid.T, p *machine.Plan) {
	p.Timeout = time.Duration(rapid.Int64().Draw(t, "saga's time"))
	p.Undo = machine.Retry{Attempts: rapid.Int().Draw(t, "undo attempts"), Initial: time.Duration(rapid.Int64().Draw(t, "initial")), Max: time.Duration(rapid.Int64().Draw(t, "max"))}
	if rapid.Bool().Draw(t, "no steps") {
		p.Steps = nil
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		s.Timeout = time.Duration(rapid.Int64().Draw(t, "timeout"))
		s.Pivot = rapid.Bool().Draw(t, "pivot")
		switch rapid.IntRange(0, 4).Draw(t, "break") {
		case 0:
			s.Name = "s1"
		case 1:
			s.Kind = "strange"
		case 2:
			s.Compensation = "strange"
		case 3:
			s.Members = append(s.Members, p.Steps...)
		}
	}
}
