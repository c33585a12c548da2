package machine

// compensate turns the saga round.
func (m *machine) compensate(why string) {
	m.i.Back, m.i.Cause = true, clean(why)
	m.record(Entry{What: OccurredCompensate, Text: why})
}

// backward undoes the last step that is not undone, or ends the saga.
func (m *machine) backward() bool {
	for _, name := range m.names() {
		if !forwardGoing(m.i.Steps[name].Phase) {
			continue
		}
		s := m.p.lookup(name)
		if s == nil {
			// Its phase is stuck: an operator has to say what became of it.
			continue
		}
		if s.Kind == Group {
			m.set(name, m.i.Steps[name], Refused)
		} else {
			m.giveUp(s)
		}
		return true
	}
	name, top := m.nextUndo()
	for _, other := range m.names() {
		st := m.i.Steps[other]
		if st.Phase == StuckForward || undoGoing(st.Phase) && !m.beside(other, st, top) {
			return false
		}
	}
	if name == "" {
		m.finish(Compensated, m.i.Cause)
		return false
	}
	m.beginUndo(name)
	return true
}

// beside reports whether the step at a place of the plan may be undone while
// this one is: members of a group are undone together, and those that lost are undone
// by themselves.
func (m *machine) beside(other string, st StepState, top int) bool {
	at := m.p.top(other)
	return top >= 0 && at >= 0 && (at == top || st.Lost && at < top)
}

// nextUndo returns the step that is to be undone next, and its place in the plan.
func (m *machine) nextUndo() (name string, top int) {
	top = -1
	// What is unknown was begun last.
	for _, n := range m.names() {
		if m.i.Steps[n].Phase == Unknown && m.p.top(n) >= top {
			name, top = n, m.p.top(n)
		}
	}
	if name == "" && len(m.i.Done) > 0 {
		name = m.i.Done[len(m.i.Done)-1]
		top = m.p.top(name)
	}
	return name, top
}

// beginUndo begins to undo a step.
func (m *machine) beginUndo(name string) {
	var rest []string
	for _, d := range m.i.Done {
		if d != name {
			rest = append(rest, d)
		}
	}
	m.i.Done = rest
	st := m.i.Steps[name]
	st.Sent, st.Attempt, st.Before, st.Round, st.Since = st.Attempt, 0, 0, 0, 0
	s := m.p.lookup(name)
	switch {
	case s == nil && st.Compensation == "" || s != nil && s.Compensation == "":
		m.set(name, st, Undone)
	case s == nil:
		m.stuck(name, st, StuckUndo, gone)
	default:
		m.i.Steps[name] = st
		m.undo(s)
	}
}

// undo makes an attempt at undoing a step.
func (m *machine) undo(s *Step) {
	st := m.i.Steps[s.Name]
	st.Attempt = min(max(st.Attempt, 0), maxAttempt-1) + 1
	m.record(Entry{What: OccurredUndo, Step: s.Name, Undo: true, Attempt: st.Attempt})
	switch s.Compensation {
	case Local:
		m.setDue(s.Name, st, Undoing, m.now)
		m.emit(RunLocal{Step: s.Name, Undo: true})
	case Command:
		st.UndoOpen = with(st.UndoOpen, st.Attempt)
		m.set(s.Name, st, Undoing)
		if s.Timeout > 0 {
			m.setDue(s.Name, st, Undoing, m.later(s.Timeout))
		}
		m.emit(Send{Token{Step: s.Name, Undo: true, Attempt: st.Attempt}, st.Round})
	case Saga:
		m.set(s.Name, st, Undoing)
		m.emit(UndoChild{s.Name, st.Sent})
	default:
		m.stuck(s.Name, st, StuckUndo, "a step cannot be undone by "+string(s.Compensation)+": change the saga's definition, or skip the step")
	}
}

// undone ends the compensation of a step.
func (m *machine) undone(name string, e Entry) {
	st := m.i.Steps[name]
	st.Error = ""
	m.set(name, st, Undone)
	e.What, e.Step, e.Undo, e.Attempt = OccurredUndone, name, true, st.Attempt
	m.record(e)
}

// undoFailed ends an attempt at undoing a step.
func (m *machine) undoFailed(s *Step, why string) {
	st := m.i.Steps[s.Name]
	st.Error = clean(why)
	retry := m.p.undoRetry()
	if made := st.Attempt - st.Before; made < retry.Attempts {
		m.setDue(s.Name, st, UndoBackoff, m.later(retry.wait(made, m.jitter)))
		return
	}
	m.stuck(s.Name, st, StuckUndo, why)
}
