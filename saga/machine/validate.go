package machine

import (
	"errors"
	"fmt"
)

// Validate reports whether a saga can be run by this plan. The error names the
// step and says what to do.
func (p *Plan) Validate() error {
	if !validName(p.Name) {
		return fmt.Errorf("saga %.220q: a saga's name must be 1 to 200 letters, digits, '.', '_' and '-'", p.Name)
	}
	if err := p.validate(); err != nil {
		return fmt.Errorf("saga %s: %w", p.Name, err)
	}
	return nil
}

func (p *Plan) validate() error {
	if len(p.Steps) == 0 {
		return errors.New("it has no steps: add one")
	}
	if p.Timeout < 0 {
		return errors.New("its timeout is negative: leave it out for none")
	}
	if err := p.Undo.validate(); err != nil {
		return fmt.Errorf("retries of compensations: %w", err)
	}
	seen := make(map[string]bool)
	pivot := ""
	for i := range p.Steps {
		s := &p.Steps[i]
		if err := s.validate(seen, false); err != nil {
			return err
		}
		if s.Pivot && pivot != "" {
			return s.errorf("is a pivot, and %s is one already: there can be one point of no return", pivot)
		}
		if s.Pivot {
			pivot = s.Name
		}
	}
	return nil
}

func (s *Step) errorf(format string, args ...any) error {
	return fmt.Errorf("step %s: "+format, append([]any{s.Name}, args...)...)
}

func (s *Step) validate(seen map[string]bool, member bool) error {
	if !validName(s.Name) {
		return fmt.Errorf("step %.220q: a step's name must be 1 to 200 letters, digits, '.', '_' and '-'", s.Name)
	}
	if seen[s.Name] {
		return s.errorf("there are two of that name: rename one, also where one is in a group")
	}
	seen[s.Name] = true
	switch s.Kind {
	case Local, Command, Notify, Saga, Event, Wait:
		if len(s.Members) > 0 || s.Join != "" {
			return s.errorf("only a group has members and a join: remove them")
		}
	case Group:
		if member {
			return s.errorf("a group cannot be in a group: put its members into the outer one, or into a child saga")
		}
		if err := s.validateGroup(seen); err != nil {
			return err
		}
	default:
		return s.errorf("its kind %q is none of local, command, notify, group, saga, event and wait", s.Kind)
	}
	if member && s.Pivot {
		return s.errorf("a pivot cannot be in a group: make the group the pivot")
	}
	if err := s.validateUndo(); err != nil {
		return err
	}
	return s.validateTimes()
}

func (s *Step) validateGroup(seen map[string]bool) error {
	if s.Join != All && s.Join != First {
		return s.errorf("its join is %q: say all or first", s.Join)
	}
	if len(s.Members) == 0 {
		return s.errorf("the group has no members: add some")
	}
	for i := range s.Members {
		if err := s.Members[i].validate(seen, true); err != nil {
			return err
		}
	}
	return nil
}

const latePivot = "a pivot that times out may take effect after the saga was compensated: give it a compensation, or no timeout"

func (s *Step) validateUndo() error {
	switch s.Compensation {
	case "":
	case Local, Command:
		if s.Kind == Group {
			return s.errorf("a group has no compensation of its own: give it to the members")
		}
		if s.Kind == Saga {
			return s.errorf("a child saga is undone by its own compensations: use saga")
		}
	case Saga:
		if s.Kind != Saga {
			return s.errorf("only a child saga is undone as one: use local or command")
		}
	default:
		return s.errorf("its compensation %q is none of local, command and saga", s.Compensation)
	}
	if s.Pivot && s.Timeout > 0 && s.final() {
		return s.errorf(latePivot)
	}
	for i := range s.Members {
		if m := &s.Members[i]; s.Pivot && m.Timeout > 0 && m.final() {
			return m.errorf(latePivot)
		}
	}
	return nil
}

func (s *Step) validateTimes() error {
	if s.Timeout < 0 {
		return s.errorf("its timeout is negative: leave it out for none")
	}
	if s.Timeout > 0 && (s.Kind == Local || s.Kind == Notify || s.Kind == Group) {
		return s.errorf("nothing is waited for by a step of kind %s: remove its timeout", s.Kind)
	}
	if err := s.Retry.validate(); err != nil {
		return s.errorf("%w", err)
	}
	if s.Retry != (Retry{}) && s.Kind != Local && s.Kind != Command {
		return s.errorf("a step of kind %s is not tried again: remove its retry", s.Kind)
	}
	return nil
}

func (r Retry) validate() error {
	switch {
	case r.Attempts < 0:
		return errors.New("the number of attempts is negative: use 1 or more")
	case r.Initial < 0 || r.Max < 0:
		return errors.New("a wait between attempts is negative: leave it out for the default")
	case r.Max > 0 && r.Initial > r.Max:
		return fmt.Errorf("the first wait between attempts, %v, is longer than the longest, %v", r.Initial, r.Max)
	}
	return nil
}
