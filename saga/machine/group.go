package machine

// group goes on with a group; false if it waits.
func (m *machine) group(g *Step) bool {
	won, failed := false, false
	for i := range g.Members {
		switch m.i.Steps[g.Members[i].Name].Phase {
		case Done:
			won = true
		case Refused, Unknown:
			failed = true
		}
	}
	first := g.Join == First
	// Nothing is begun, or tried again, for nothing.
	decided := first && won || !first && failed
	going := false
	for i := range g.Members {
		s := &g.Members[i]
		st := m.i.Steps[s.Name]
		switch {
		case first && won && (forwardGoing(st.Phase) || st.Phase == Unknown):
			m.lose(s)
			return true
		case decided && (st.Phase == Backoff || forwardGoing(st.Phase) && (s.Kind == Event || s.Kind == Wait)):
			m.giveUp(s)
			return true
		case st.Phase == "" && !decided:
			m.begin(s)
			return true
		}
		going = going || forwardGoing(st.Phase)
	}
	switch {
	case going:
		return false
	case !first && failed || first && failed && !won:
		st := m.i.Steps[g.Name]
		st.Error = m.firstError(g)
		m.i.Steps[g.Name] = st
		m.set(g.Name, st, Refused)
		m.record(Entry{What: OccurredRefused, Step: g.Name, Text: st.Error})
	default:
		m.done(g, Entry{})
	}
	return true
}

// firstError returns why a group has failed.
func (m *machine) firstError(g *Step) string {
	for i := range g.Members {
		name := g.Members[i].Name
		if st := m.i.Steps[name]; st.Phase == Refused || st.Phase == Unknown {
			return clean(name + ": " + st.Error)
		}
	}
	return ""
}

// lose ends a member of a group in which another was faster: what it may do yet
// is undone at once, right behind it.
func (m *machine) lose(s *Step) {
	st := m.i.Steps[s.Name]
	st.Lost, st.Error = true, "another was faster"
	m.i.Steps[s.Name] = st
	if st.Phase != Unknown {
		m.giveUp(s)
	}
	if m.i.Steps[s.Name].Phase == Unknown {
		m.beginUndo(s.Name)
	}
}
