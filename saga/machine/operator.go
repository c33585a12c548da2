package machine

import "fmt"

// requested does what an operator asks for, or notes why it cannot be done.
func (m *machine) requested(h Requested) {
	var refused string
	e := Entry{What: OccurredOperator, Step: h.Step, Text: string(h.Op)}
	if h.Op == Skip {
		e.Text += " as refused"
		if h.Success {
			e.Text = "skip as done"
		}
	}
	if h.Parent {
		e.Text += " for the parent saga"
	}
	if h.Actor != "" {
		e.Text += " by " + h.Actor
	}
	if h.Reason != "" {
		e.Text += ": " + h.Reason
	}
	number := m.i.Journal
	m.record(e)
	switch {
	case m.i.State == Completed && h.Op == Compensate && h.Parent:
		m.i.State = Compensating
		m.compensate(e.Text)
	case m.i.State.Ended():
		refused = "the saga has ended"
	case h.Op == RetryNow:
		refused = m.retryNow(h.Step)
	case h.Op == Skip:
		refused = m.skipNow(h)
	case h.Op == Compensate && m.i.Back:
		refused = "it is compensated already: retry or skip what is stuck"
	case h.Op == Compensate:
		m.i.Halted, m.again = "", true
		if m.i.Forward {
			e.Text += "; behind the pivot"
		}
		m.compensate(e.Text)
	case h.Op == Fail:
		m.finish(Failed, e.Text)
	default:
		refused = "there is no such request: retry, skip, compensate and fail are"
	}
	if refused == "" {
		return
	}
	// Nothing was changed: the entry becomes a note.
	m.i.Journal, m.out = number, m.out[:len(m.out)-1]
	e.Text = clean(e.Text+"; refused: ") + refused
	m.note(e)
}

// retryNow tries again, with all its attempts, what waits for its next one.
func (m *machine) retryNow(only string) (refused string) {
	found := false
	if m.i.Halted != "" && only == "" {
		m.i.Halted, m.again, found = "", true, true
		m.extend()
	}
	for _, name := range m.names() {
		if only != "" && name != only {
			continue
		}
		st := m.i.Steps[name]
		phase := Backoff
		switch st.Phase {
		case Backoff, StuckForward:
		case UndoBackoff, StuckUndo:
			phase = UndoBackoff
		default:
			continue
		}
		if m.p.lookup(name) == nil {
			continue
		}
		found = true
		st.Before = st.Attempt
		m.setDue(name, st, phase, m.now)
	}
	if !found {
		return "nothing is stuck or waits for its next attempt"
	}
	return ""
}

// extend gives what is waited for its whole time again: while the saga was
// halted, replies could not be taken.
func (m *machine) extend() {
	for _, s := range m.all {
		st := m.i.Steps[s.Name]
		if s.Kind != Wait && s.Timeout > 0 && !st.Due.IsZero() && (st.Phase == Active || st.Phase == Undoing) && m.question(s) == nil {
			m.setDue(s.Name, st, st.Phase, m.later(s.Timeout))
		}
	}
}

// skipNow takes a step for done, or refused.
func (m *machine) skipNow(h Requested) (refused string) {
	name := h.Step
	if name == "" {
		var refused string
		if name, refused = m.onlyOne(); refused != "" {
			return refused
		}
	}
	s := m.p.lookup(name)
	st := m.i.Steps[name]
	going, undoing := forwardGoing(st.Phase), undoGoing(st.Phase)
	switch {
	case s != nil && s.Kind == Group:
		return "a group cannot be skipped: name one of its members"
	case !going && !undoing:
		return "the step is neither stuck nor waited for"
	case st.Phase == Deciding || s != nil && m.question(s) != nil:
		return "the step is being run"
	case undoing && !h.Success:
		return "a compensation can only be skipped as done"
	case undoing:
		m.undone(name, Entry{Text: "skipped"})
	case s == nil && h.Success:
		// It cannot be undone: the plan does not say how.
		m.set(name, st, Done)
		m.i.Done = append(m.i.Done, name)
		m.record(Entry{What: OccurredDone, Step: name, Text: "skipped"})
	case s == nil:
		m.set(name, st, Skipped)
		m.record(Entry{What: OccurredSkip, Step: name})
	case h.Success:
		m.done(s, Entry{Text: "skipped"})
	case m.i.Forward:
		m.skip(s, "by an operator")
	default:
		st.Error = clean("skipped as refused: " + h.Reason)
		m.set(name, st, Refused)
		m.record(Entry{What: OccurredRefused, Step: name, Attempt: st.Attempt, Text: st.Error})
	}
	return ""
}

// onlyOne returns the one step that is stuck or waited for.
func (m *machine) onlyOne() (name, refused string) {
	active := At(m.p, &m.i)
	if len(active) == 1 {
		return active[0], ""
	}
	if len(active) == 0 {
		return "", "nothing is stuck or waited for"
	}
	return "", fmt.Sprintf("name the step: the saga is at %v", active)
}
