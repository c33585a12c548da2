package machine

import "time"

// forward begins the next step, or ends the saga, if nothing else goes on.
func (m *machine) forward() bool {
	// Under a changed plan, what goes on need not be the first that is left.
	for i := range m.p.Steps {
		s := &m.p.Steps[i]
		st := m.i.Steps[s.Name]
		switch {
		case st.Phase == Refused || st.Phase == Unknown:
			m.compensate(s.Name + ": " + st.Error)
			return true
		case s.Kind == Group && st.Phase == Active:
			if m.group(s) {
				return true
			}
			if phase := m.i.Steps[s.Name].Phase; phase == Active {
				return false
			}
		case forwardGoing(st.Phase):
			return false
		}
	}
	for _, name := range m.names() {
		if forwardGoing(m.i.Steps[name].Phase) && m.p.lookup(name) == nil {
			// The plan has lost it; an operator has to say what became of it.
			return false
		}
	}
	for i := range m.p.Steps {
		if s := &m.p.Steps[i]; m.i.Steps[s.Name].Phase == "" {
			m.begin(s)
			return true
		}
	}
	for _, name := range m.names() {
		if undoGoing(m.i.Steps[name].Phase) {
			// A member of a group that was not the first.
			return false
		}
	}
	m.finish(Completed, "")
	return false
}

// begin begins a step, if its condition holds.
func (m *machine) begin(s *Step) {
	st := StepState{Kind: s.Kind, Compensation: s.Compensation, Early: m.i.Steps[s.Name].Early}
	if s.Conditional || s.Kind == Wait {
		m.setDue(s.Name, st, Deciding, m.now)
		m.emit(Decide{s.Name})
		return
	}
	m.i.Steps[s.Name] = st
	m.attempt(s, time.Time{})
}

// answered goes on with a step about which the data was asked.
func (m *machine) answered(h Answered) {
	s := m.p.lookup(h.Step)
	if s == nil || m.i.State.Ended() || m.i.Steps[h.Step].Phase != Deciding {
		m.note(Entry{What: OccurredForeign, Step: h.Step, Text: "an answer to what was not asked"})
		return
	}
	if s.Conditional && !h.Holds {
		m.skip(s, "its condition does not hold")
		return
	}
	m.attempt(s, h.Until)
}

// skip leaves a step out. A pivot is passed all the same: what is behind it
// need not be able to be undone.
func (m *machine) skip(s *Step, why string) {
	m.set(s.Name, m.i.Steps[s.Name], Skipped)
	m.i.Forward = m.i.Forward || s.Pivot
	m.record(Entry{What: OccurredSkip, Step: s.Name, Text: why})
}

// attempt begins a step, or tries it again. until is of Wait only.
func (m *machine) attempt(s *Step, until time.Time) {
	st := m.i.Steps[s.Name]
	resumed := len(st.Open) > 0 && (s.Kind == Event || s.Kind == Saga)
	if resumed {
		// It is the same attempt, which has its time again.
		st.Before = min(st.Before, st.Attempt-1)
	} else {
		st.Attempt = min(max(st.Attempt, 0), maxAttempt-1) + 1
	}
	m.record(Entry{What: OccurredBegin, Step: s.Name, Attempt: st.Attempt})
	var due time.Time
	if s.Timeout > 0 {
		due = m.later(s.Timeout)
	}
	switch s.Kind {
	case Local:
		m.setDue(s.Name, st, Active, m.now)
		m.emit(RunLocal{Step: s.Name})
	case Command:
		st.Open = with(st.Open, st.Attempt)
		m.setDue(s.Name, st, Active, due)
		m.emit(Send{Token{Step: s.Name, Attempt: st.Attempt}, st.Round})
	case Notify:
		m.i.Steps[s.Name] = st
		m.emit(Send{Token: Token{Step: s.Name, Attempt: st.Attempt}})
		m.done(s, Entry{})
	case Saga:
		if !resumed {
			st.Open = with(st.Open, st.Attempt)
			m.emit(StartChild{s.Name, st.Attempt})
		}
		m.setDue(s.Name, st, Active, due)
	case Event:
		m.i.Steps[s.Name] = st
		if st.Early {
			m.done(s, Entry{})
			return
		}
		if !resumed {
			st.Open = with(st.Open, st.Attempt)
		}
		m.setDue(s.Name, st, Active, due)
	case Wait:
		if !until.IsZero() {
			due = ceil(sane(until))
		}
		m.setDue(s.Name, st, Active, due)
		if due.IsZero() || m.passed(due) {
			m.done(s, Entry{})
		}
	case Group:
		m.set(s.Name, st, Active)
	default:
		m.stuck(s.Name, st, StuckForward, "a step cannot be of kind "+string(s.Kind)+": change the saga's definition, or skip the step")
	}
}

// done ends a step that took effect. e may carry what told so.
func (m *machine) done(s *Step, e Entry) {
	st := m.i.Steps[s.Name]
	st.Error = ""
	m.set(s.Name, st, Done)
	if s.Kind != Group {
		m.i.Done = append(m.i.Done, s.Name)
	}
	m.i.Forward = m.i.Forward || s.Pivot
	e.What, e.Step, e.Attempt = OccurredDone, s.Name, st.Attempt
	if s.Kind == Group {
		e.Attempt = 0
	}
	m.record(e)
}

// failed ends an attempt at a step that came to nothing or to no reply in time.
func (m *machine) failed(s *Step, why string, final bool) {
	st := m.i.Steps[s.Name]
	st.Error = clean(why)
	retry := m.retry(s)
	made := st.Attempt - st.Before
	switch {
	case (m.i.Forward || !final) && made < retry.Attempts:
		m.setDue(s.Name, st, Backoff, m.later(retry.wait(made, m.jitter)))
	case m.i.Forward:
		m.stuck(s.Name, st, StuckForward, why)
	default:
		m.i.Steps[s.Name] = st
		m.giveUp(s)
	}
}

// giveUp ends a step that is not tried any more. Where an attempt may take
// effect yet, it must be undone.
func (m *machine) giveUp(s *Step) {
	st := m.i.Steps[s.Name]
	if len(st.Open) > 0 && s.Compensation != "" {
		m.set(s.Name, st, Unknown)
		return
	}
	if st.Error == "" {
		st.Error = m.i.Cause
	}
	m.set(s.Name, st, Refused)
	m.record(Entry{What: OccurredRefused, Step: s.Name, Attempt: st.Attempt, Text: st.Error})
}
