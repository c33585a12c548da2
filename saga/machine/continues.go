package machine

import "fmt"

// Continues reports whether an instance that was changed last under another
// plan can go on under p. Steps are told apart by their names. What is not begun
// may change in any way and steps may be added behind what is begun. The error names the step in
// the way and says what to do.
func Continues(p *Plan, i *Instance) error {
	if i.State == "" || i.State.Ended() {
		return nil
	}
	for _, name := range names(p, p.flat(), i) {
		if err := continues(p.lookup(name), name, i.Steps[name]); err != nil {
			return err
		}
	}
	for _, name := range i.Done {
		if _, ok := i.Steps[name]; !ok && p.lookup(name) == nil {
			return fmt.Errorf("step %s is done and may have to be undone, and is not in the definition: put it back", name)
		}
	}
	if i.Back {
		return nil
	}
	return p.inOrder(i)
}

func continues(s *Step, name string, st StepState) error {
	going, undoing := forwardGoing(st.Phase), undoGoing(st.Phase)
	toUndo := st.Compensation != "" && (st.Phase == Done || st.Phase == Unknown || undoing)
	switch {
	case st.Kind == Group || st.Kind == "":
		// Its members matter. An event that came early belongs to no one.
		return nil
	case !going && !toUndo:
		return nil
	case s == nil && going:
		return fmt.Errorf("step %s is %s and is not in the definition: put it back, or skip it", name, st.Phase)
	case s == nil:
		return fmt.Errorf("step %s is %s and may have to be undone, and is not in the definition: put it back", name, st.Phase)
	case going && s.Kind != st.Kind:
		return fmt.Errorf("step %s was begun as %s and is %s in the definition: give it another name, and keep the old one until these sagas have ended", name, st.Kind, s.Kind)
	case toUndo && s.Compensation == "":
		return fmt.Errorf("step %s has no compensation in the definition any more, and would not be undone: put it back until these sagas have ended", name)
	case undoing && s.Compensation != st.Compensation:
		return fmt.Errorf("step %s is being undone by %s, and by %s in the definition: put that back until these sagas have ended", name, st.Compensation, s.Compensation)
	}
	return nil
}

// inOrder reports whether what is left to do is behind what is begun.
func (p *Plan) inOrder(i *Instance) error {
	left := ""
	for k := range p.Steps {
		s := &p.Steps[k]
		begun := i.Steps[s.Name].Phase != ""
		for j := range s.Members {
			begun = begun || i.Steps[s.Members[j].Name].Phase != ""
		}
		switch {
		case !begun && left == "":
			left = s.Name
		case begun && left != "":
			return fmt.Errorf("step %s is not begun and comes before %s in the definition, which is: put it behind, until these sagas have ended", left, s.Name)
		}
	}
	return nil
}
