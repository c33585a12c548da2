package machine

import (
	"maps"
	"slices"
	"time"
)

// Advance returns what becomes of an instance by an input, and what is to be
// done for it. It changes neither plan nor instance, and returns the same for
// the same arguments. An instance begins as the zero Instance, with [Started].
//
// The outputs are carried out in order, in the transaction that stores the
// instance. [RunLocal] and [Decide] are questions. There is at most one among
// the outputs, and the machine asks no other before it is answered: the caller answers it by [Ran] or
// [Answered], with the instance as returned, in the same transaction, before
// it stores anything. [StartChild] and [UndoChild] are no questions: a
// [ChildEnded] may be given at once, before or after such an answer, or much
// later. Where an instance was stored with its question open all the same, [Woken] asks it again.
//
// A local step that has failed must have had no effect: the caller rolls back
// its transaction, and gives the same inputs again, with Ran and its Error for an answer.
//
// What makes no sense for the instance changes nothing but its journal.
func Advance(p *Plan, in Instance, input Input) (Instance, []Output) {
	m := newMachine(p, in, input)
	m.heal()
	m.take(input.What)
	m.settle()
	m.conclude()
	return m.i, m.out
}

// A machine is one call of Advance.
type machine struct {
	p      *Plan
	i      Instance
	now    time.Time
	jitter float64
	// all are the plan's steps, groups before their members.
	all []*Step
	// again asks an open question once more.
	again bool
	out   []Output
}

func newMachine(p *Plan, in Instance, input Input) *machine {
	if p == nil {
		p = &Plan{}
	}
	m := &machine{p: p, all: p.flat(), i: in, now: sane(input.At), jitter: fraction(input.Jitter)}
	m.i.Done = slices.Clone(in.Done)
	m.i.Journal = max(in.Journal, 0)
	m.i.Steps = make(map[string]StepState, len(in.Steps)+1)
	maps.Copy(m.i.Steps, in.Steps)
	return m
}

// take lets the input change the step that it is about.
func (m *machine) take(what Happening) {
	if s, ok := what.(Started); ok {
		m.start(s)
		return
	}
	if m.i.State == "" {
		m.note(Entry{What: OccurredForeign, Text: "the saga has not started"})
		return
	}
	switch h := what.(type) {
	case Ran:
		m.ran(h)
	case Answered:
		m.answered(h)
	case Replied:
		m.replied(h)
	case Signaled:
		m.signaled(h)
	case ChildEnded:
		m.childEnded(h)
	case Undecodable:
		m.undecodable(h)
	case Requested:
		m.requested(h)
	case Woken:
		m.again = true
	}
}

func (m *machine) start(Started) {
	if m.i.State != "" {
		m.note(Entry{What: OccurredRepeated, Text: "the saga has started before"})
		return
	}
	m.i.State = Running
	if m.p.Timeout > 0 {
		m.i.Deadline = m.later(m.p.Timeout)
	}
	m.record(Entry{What: OccurredStart})
}

// settle goes on for as long as there is something to do that waits for nothing.
func (m *machine) settle() {
	if !m.alive() {
		return
	}
	if m.asking() {
		return
	}
	m.expire()
	// Each turn begins or ends something, so this many are always enough.
	for range 8 * (m.size() + 2) {
		if m.asking() || !m.turn() {
			return
		}
	}
}

// turn does one thing that can be done now; false if there is none.
func (m *machine) turn() bool {
	if !m.alive() {
		return false
	}
	// What is tried again comes last: it may have been given up.
	if m.i.Back {
		return m.backward() || m.retryDue()
	}
	return m.forward() || m.retryDue()
}

// alive reports whether the saga may do something by itself.
func (m *machine) alive() bool {
	return m.i.State != "" && !m.i.State.Ended() && m.i.Halted == ""
}

// asking reports whether a question is open, and repeats it if it must be.
func (m *machine) asking() bool {
	for _, s := range m.all {
		question := m.question(s)
		if question == nil {
			continue
		}
		if m.again {
			m.again = false
			m.emit(question)
		}
		return true
	}
	m.again = false
	return false
}

// question returns what a step waits for an answer to, or nil.
func (m *machine) question(s *Step) Output {
	switch st := m.i.Steps[s.Name]; {
	case st.Phase == Deciding:
		return Decide{s.Name}
	case st.Phase == Active && s.Kind == Local:
		return RunLocal{Step: s.Name}
	case st.Phase == Undoing && s.Compensation == Local:
		return RunLocal{Step: s.Name, Undo: true}
	}
	return nil
}

// conclude says what the steps make of the saga.
func (m *machine) conclude() {
	if m.i.State == "" || m.i.State.Ended() {
		return
	}
	m.i.State, m.i.Error = Running, ""
	if m.i.Back {
		m.i.State, m.i.Error = Compensating, m.i.Cause
	}
	for _, name := range m.names() {
		if st := m.i.Steps[name]; st.Phase == StuckForward || st.Phase == StuckUndo {
			m.i.State, m.i.Error = Stuck, clean(name+": "+st.Error)
			break
		}
	}
	if m.i.Halted != "" {
		m.i.State, m.i.Error = Stuck, m.i.Halted
	}
}

// finish ends the saga.
func (m *machine) finish(s State, why string) {
	m.i.State, m.i.Error, m.i.Deadline, m.i.Halted = s, clean(why), time.Time{}, ""
	m.record(Entry{What: OccurredEnd, Text: string(s)})
	m.emit(Finished{s})
}
