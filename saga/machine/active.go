package machine

// At returns the names of the steps that a saga is doing, undoing, waiting for
// or stuck at, in the plan's order. Groups are not among them, their members are.
func At(p *Plan, i *Instance) []string {
	if p == nil || i == nil {
		return nil
	}
	var at []string
	for _, name := range names(p, p.flat(), i) {
		st := i.Steps[name]
		if s := p.lookup(name); s != nil && s.Kind == Group || st.Kind == Group {
			continue
		}
		if forwardGoing(st.Phase) || undoGoing(st.Phase) {
			at = append(at, name)
		}
	}
	return at
}
