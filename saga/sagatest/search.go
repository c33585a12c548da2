package sagatest

import (
	"errors"
	"fmt"
	"slices"
)

// A choice is that something goes wrong: at a point of a history, at which several things can
// happen, not the first one does.
type choice struct{ point, option int }

// Search is Explore for those who want to see what is found: of the violations with
// the fewest deviations, the one in which the fewest things happen.
func (e *Exploration[W, D]) Search() (Result, *Violation, error) {
	var r Result
	if err := e.complete(); err != nil {
		return r, nil, err
	}
	level := [][]choice{nil}
	for n := 0; n <= e.Deviations && len(level) > 0; n++ {
		r.ByDeviations = append(r.ByDeviations, 0)
		var next [][]choice
		var found *run[W]
		for _, choices := range level {
			if r.Histories == e.Limit {
				return r, nil, fmt.Errorf("there are more than %d histories: raise Limit, or lower Deviations, which are %d", e.Limit, e.Deviations)
			}
			x, err := e.play(choices, false)
			if err != nil {
				return r, nil, err
			}
			r.Histories++
			r.ByDeviations[n]++
			if x.violation != nil && (found == nil || x.length < found.length) {
				found = x
			}
			if found == nil && n < e.Deviations {
				next = append(next, x.children(choices)...)
			}
		}
		if found != nil {
			v, err := e.describe(found.choices, found.violation)
			return r, v, err
		}
		level = next
	}
	return r, nil, nil
}

func (e *Exploration[W, D]) complete() error {
	switch {
	case e.Saga == nil:
		return errors.New("the field Saga is missing")
	case e.World == nil:
		return errors.New("the field World is missing")
	case e.Check == nil:
		return errors.New("the field Check is missing")
	case e.Deviations < 0:
		return fmt.Errorf("the field Deviations is %d, less than 0", e.Deviations)
	case e.Limit < 0:
		return fmt.Errorf("the field Limit is %d, less than 0", e.Limit)
	}
	if e.Deviations == 0 {
		e.Deviations = 2
	}
	if e.Limit == 0 {
		e.Limit = 200_000
	}
	return nil
}

// describe plays a history again and writes down what happens.
func (e *Exploration[W, D]) describe(choices []choice, violation error) (*Violation, error) {
	x, err := e.play(choices, true)
	if err != nil {
		return nil, err
	}
	if x.violation == nil || x.violation.Error() != violation.Error() {
		return nil, fmt.Errorf("the same history ends with %q and then with %v: the saga, a model or World depends on something else, "+
			"such as the time, chance, or the order of a map", violation, x.violation)
	}
	return &Violation{Err: violation, History: fold(x.lines), Deviations: len(choices)}, nil
}

// children are the histories in which one more thing goes wrong, later.
func (x *run[W]) children(choices []choice) [][]choice {
	from := 0
	if len(choices) > 0 {
		from = choices[len(choices)-1].point + 1
	}
	var all [][]choice
	for p := from; p < len(x.points); p++ {
		for option := 1; option < x.points[p]; option++ {
			all = append(all, append(slices.Clip(choices), choice{p, option}))
		}
	}
	return all
}
