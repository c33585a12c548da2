package machine

import (
	"slices"
	"time"
)

// flat returns the plan's steps in order, groups before their members.
func (p *Plan) flat() []*Step {
	all := make([]*Step, 0, len(p.Steps)+4)
	for i := range p.Steps {
		all = append(all, &p.Steps[i])
		for j := range p.Steps[i].Members {
			all = append(all, &p.Steps[i].Members[j])
		}
	}
	return all
}

// lookup is Find, of the steps that can be done.
func (p *Plan) lookup(name string) *Step {
	for i := range p.Steps {
		if s := &p.Steps[i]; s.Name == name {
			return s
		}
		for j := range p.Steps[i].Members {
			if s := &p.Steps[i].Members[j]; s.Name == name {
				return s
			}
		}
	}
	return nil
}

// top returns the place in the plan of a step, or of the group that it is in; -1 if it is gone.
func (p *Plan) top(name string) int {
	for i := range p.Steps {
		if p.Steps[i].Name == name || slices.ContainsFunc(p.Steps[i].Members, func(s Step) bool { return s.Name == name }) {
			return i
		}
	}
	return -1
}

// names returns the names of the steps that have a state: those of the plan in
// its order, then those that it does not have, by name.
func (m *machine) names() []string { return names(m.p, m.all, &m.i) }

func names(p *Plan, steps []*Step, i *Instance) []string {
	all := make([]string, 0, len(i.Steps))
	for _, s := range steps {
		if _, ok := i.Steps[s.Name]; ok && !slices.Contains(all, s.Name) {
			all = append(all, s.Name)
		}
	}
	if len(all) == len(i.Steps) {
		return all
	}
	known := len(all)
	for name := range i.Steps {
		if p.lookup(name) == nil {
			all = append(all, name)
		}
	}
	slices.Sort(all[known:])
	return all
}

func (m *machine) size() int { return len(m.all) + len(m.i.Steps) + len(m.i.Done) }

// set stores a step's state in a phase, without anything being due.
func (m *machine) set(name string, st StepState, phase Phase) {
	st.Phase, st.Due = phase, time.Time{}
	m.i.Steps[name] = st
}

// setDue stores a step's state in a phase that ends at due.
func (m *machine) setDue(name string, st StepState, phase Phase, due time.Time) {
	st.Phase, st.Due = phase, due
	m.i.Steps[name] = st
}

// forwardGoing reports whether a step is on its way forward.
func forwardGoing(p Phase) bool {
	return p == Deciding || p == Active || p == Backoff || p == StuckForward
}

// undoGoing reports whether a step's compensation is on its way.
func undoGoing(p Phase) bool { return p == Undoing || p == UndoBackoff || p == StuckUndo }

// heal makes steps that the plan does not have any more wait for an operator.
// [Continues] refuses such instances, so this is a last resort.
func (m *machine) heal() {
	if m.i.State.Ended() {
		return
	}
	for _, name := range m.names() {
		if m.p.lookup(name) != nil {
			continue
		}
		st := m.i.Steps[name]
		switch {
		case st.Kind == Group:
		case forwardGoing(st.Phase) && st.Phase != StuckForward:
			m.stuck(name, st, StuckForward, gone)
		case undoGoing(st.Phase) && st.Phase != StuckUndo:
			m.stuck(name, st, StuckUndo, gone)
		}
	}
}

const gone = "the saga's definition does not have this step any more: put it back, or skip it"

// stuck leaves a step to an operator.
func (m *machine) stuck(name string, st StepState, phase Phase, why string) {
	st.Error = clean(why)
	m.set(name, st, phase)
	m.record(Entry{What: OccurredStuck, Step: name, Undo: phase == StuckUndo, Attempt: st.Attempt, Text: why})
}

// without returns the numbers except one.
func without(all []int, n int) []int {
	var rest []int
	for _, a := range all {
		if a != n {
			rest = append(rest, a)
		}
	}
	return rest
}

// maxOpen is how many attempts without a reply are remembered.
const maxOpen = 64

// with returns the numbers and one more.
func with(all []int, n int) []int {
	if len(all) >= maxOpen {
		all = all[len(all)-maxOpen+1:]
	}
	return append(slices.Clone(all), n)
}
