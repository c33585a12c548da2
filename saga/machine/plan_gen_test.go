package machine_test

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"tidings.example/saga/machine"
)

// plans draws sagas of up to five steps, of all kinds, that can be run.
func plans(t *rapid.T) *machine.Plan {
	p := &machine.Plan{Name: "random"}
	p.Undo = machine.Retry{Attempts: rapid.IntRange(1, 3).Draw(t, "undo attempts"), Initial: time.Second}
	if rapid.IntRange(0, 5).Draw(t, "saga timeout") == 5 {
		p.Timeout = 20 * time.Second
	}
	n := rapid.SampledFrom([]int{1, 2, 2, 3, 3, 5}).Draw(t, "steps")
	pivot := rapid.IntRange(0, 2*n).Draw(t, "pivot")
	for i := range n {
		p.Steps = append(p.Steps, drawStep(t, fmt.Sprintf("s%d", i), i == pivot, false))
	}
	if err := p.Validate(); err != nil {
		t.Fatalf("the generator makes plans that are not valid: %v", err)
	}
	return p
}

func drawStep(t *rapid.T, name string, pivot, member bool) machine.Step {
	kinds := []machine.Kind{machine.Local, machine.Command, machine.Command, machine.Command, machine.Saga, machine.Event, machine.Wait, machine.Notify, machine.Group, machine.Group, machine.Group}
	if member {
		kinds = kinds[:8]
	}
	s := machine.Step{Name: name, Pivot: pivot, Kind: rapid.SampledFrom(kinds).Draw(t, name+" kind")}
	s.Conditional = rapid.IntRange(0, 5).Draw(t, name+" conditional") == 5
	switch s.Kind {
	case machine.Group:
		s.Join = rapid.SampledFrom([]machine.Join{machine.All, machine.First}).Draw(t, name+" join")
		for i := range rapid.SampledFrom([]int{1, 2, 2, 3}).Draw(t, name+" members") {
			s.Members = append(s.Members, drawStep(t, fmt.Sprintf("%sm%d", name, i), false, true))
			if pivot {
				s.Members[i].Timeout = 0
			}
		}
		return s
	case machine.Saga:
		s.Compensation = rapid.SampledFrom([]machine.Kind{machine.Saga, machine.Saga, ""}).Draw(t, name+" undo")
	case machine.Local, machine.Command, machine.Notify:
		s.Compensation = rapid.SampledFrom([]machine.Kind{machine.Local, machine.Command, machine.Command, ""}).Draw(t, name+" undo")
	}
	if s.Kind == machine.Local || s.Kind == machine.Command {
		s.Retry = machine.Retry{Attempts: rapid.IntRange(0, 3).Draw(t, name+" attempts")}
	}
	waits := s.Kind == machine.Command || s.Kind == machine.Saga || s.Kind == machine.Event || s.Kind == machine.Wait
	if waits && (!pivot || s.Compensation != "" || s.Kind == machine.Event) && rapid.Bool().Draw(t, name+" has a timeout") {
		s.Timeout = 5 * time.Second
	}
	return s
}
