package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidings.example/saga/machine"
)

// steps tells where each step stands: all of the definition, where that is
// known, and members of groups below them.
func (s *shownSaga) steps(now time.Time) [][]string {
	table := [][]string{{"STEP", "DOES", "PHASE", "TRIED", "DUE", "ERROR"}}
	shown := map[string]bool{}
	add := func(indent int, name, does string) {
		shown[name] = true
		row := []string{strings.Repeat("  ", indent) + name, does, "-", "", "", ""}
		if at, begun := s.instance.Steps[name]; begun {
			row[2] = string(at.Phase)
			if at.Attempt > 0 {
				row[3] = strconv.Itoa(at.Attempt)
			}
			if !at.Due.IsZero() {
				row[4] = due(at.Due, now)
			}
			row[5] = shorten(at.Error, 120)
		}
		table = append(table, row)
	}
	var walk func(indent int, steps []machine.Step)
	walk = func(indent int, steps []machine.Step) {
		for i := range steps {
			add(indent, steps[i].Name, whatStepDoes(&steps[i]))
			walk(indent+1, steps[i].Members)
		}
	}
	if s.plan != nil {
		walk(0, s.plan.Steps)
	}
	for _, name := range slices.Sorted(maps.Keys(s.instance.Steps)) {
		if !shown[name] {
			add(0, name, "")
		}
	}
	return table
}

// whatStepDoes is a step's kind and, where it has one, whom it asks for what.
func whatStepDoes(s *machine.Step) string {
	does := string(s.Kind)
	if s.Kind == machine.Group {
		does += " of " + string(s.Join)
	}
	if s.Type != "" {
		does += " " + s.Type
	}
	if s.Participant != "" {
		does += " to " + s.Participant
	}
	if s.Pivot {
		does += ", pivot"
	}
	return does
}

// due is how long it is until a time.
func due(t, now time.Time) string {
	if d := t.Sub(now); d > 0 {
		return "in " + span(d)
	}
	return span(now.Sub(t)) + " ago"
}
