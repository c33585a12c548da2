package machine

import "slices"

// ran takes what a local step or compensation has come to.
func (m *machine) ran(h Ran) {
	s := m.p.lookup(h.Step)
	if s == nil || m.i.State.Ended() || m.question(s) != (RunLocal{Step: h.Step, Undo: h.Undo}) {
		m.note(Entry{What: OccurredForeign, Step: h.Step, Undo: h.Undo, Text: "a result that was not asked for"})
		return
	}
	bad := h.Error != "" || h.Refused
	if bad {
		m.record(Entry{What: OccurredFailure, Step: h.Step, Undo: h.Undo, Attempt: m.i.Steps[h.Step].Attempt, Text: failure(h.Error)})
	}
	switch {
	case h.Undo && bad:
		m.undoFailed(s, failure(h.Error))
	case h.Undo:
		m.undone(h.Step, Entry{})
	case bad:
		m.failed(s, failure(h.Error), h.Refused)
	default:
		m.done(s, Entry{})
	}
}

// signaled takes the event of a step, which may come before the step is begun.
func (m *machine) signaled(h Signaled) {
	s := m.p.lookup(h.Step)
	e := Entry{Step: h.Step, Message: h.Message, Type: h.Type}
	st := m.i.Steps[h.Step]
	e.What = OccurredSignal
	switch ExpectsEvent(m.p, &m.i, h.Step) {
	case Repeated:
		e.What = OccurredRepeated
		m.note(e)
	case Late:
		e.What = OccurredLateReply
		m.note(e)
	case Foreign:
		e.What = OccurredForeign
		m.note(e)
	case Expected:
		m.record(e)
		if st.Phase == "" || st.Phase == Deciding {
			st.Early = true
			m.i.Steps[h.Step] = st
			return
		}
		st.Open = nil
		m.i.Steps[h.Step] = st
		m.done(s, Entry{})
	}
}

// childEnded takes the end of a child saga, forward or by UndoChild.
func (m *machine) childEnded(h ChildEnded) {
	s := m.p.lookup(h.Step)
	st := m.i.Steps[h.Step]
	e := Entry{What: OccurredReply, Step: h.Step, Attempt: h.Attempt, Text: string(h.State)}
	if h.Error != "" {
		e.Text += ": " + h.Error
	}
	if h.Attempt == 0 {
		h.Attempt = st.Attempt
		if undoGoing(st.Phase) {
			h.Attempt = st.Sent
		}
		e.Attempt = h.Attempt
	}
	if s == nil || s.Kind != Saga || st.Phase == "" || !h.State.Ended() {
		e.What = OccurredForeign
		m.note(e)
		return
	}
	undoing := undoGoing(st.Phase) && s.Compensation == Saga && h.Attempt == st.Sent && h.State != Completed
	forward := forwardGoing(st.Phase) && h.Attempt == st.Attempt && slices.Contains(st.Open, h.Attempt)
	if m.i.State.Ended() || !undoing && !forward {
		e.What = OccurredLateReply
		m.note(e)
		return
	}
	e.Undo = undoing
	st.Open = without(st.Open, h.Attempt)
	m.i.Steps[h.Step] = st
	m.record(e)
	why := "the child saga has ended as " + e.Text
	switch {
	case undoing && h.State == Compensated:
		m.undone(h.Step, Entry{})
	case undoing:
		m.stuck(h.Step, st, StuckUndo, why)
	case h.State == Completed:
		m.done(s, Entry{})
	default:
		m.failed(s, why, true)
	}
}

// undecodable stops everything until an operator says that the data can be read.
func (m *machine) undecodable(h Undecodable) {
	if h.Asked != "" {
		m.note(Entry{What: OccurredOperator, Text: clean(h.Asked+"; refused: ") + failure(h.Error)})
	}
	if m.i.State.Ended() || m.i.Halted != "" {
		return
	}
	m.i.Halted = clean("data cannot be decoded: " + failure(h.Error))
	m.record(Entry{What: OccurredStuck, Text: m.i.Halted})
}
