package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"tidings.example/admin"
	"tidings.example/internal/connect"
	"tidings.example/saga/machine"
)

// sagaFilter is the flags that select sagas.
type sagaFilter struct {
	sagaType, step string
	states         stateList
	age            time.Duration
	limit          int
}

// selecting are the names of the flags that addTo adds, without --step, which
// has a second meaning where a step is skipped.
var selecting = []string{"type", "state", "age", "limit"}

func (f *sagaFilter) addTo(flags *pflag.FlagSet, states, step, limit string) {
	flags.StringVar(&f.sagaType, "type", "", "only sagas of this type")
	flags.Var(&f.states, "state", "only sagas in these states, also unfinished, ended, all; if not given: "+states)
	flags.StringVar(&f.step, "step", "", step)
	flags.DurationVar(&f.age, "age", 0, "only sagas that have not changed for at least so long, such as 10m")
	flags.IntVar(&f.limit, "limit", 100, limit)
}

// get checks the flags. Without --state it selects the states given.
func (f *sagaFilter) get(states ...string) (admin.SagaFilter, error) {
	switch {
	case f.limit < 1:
		return admin.SagaFilter{}, usagef("--limit: %d is less than 1", f.limit)
	case f.age < 0:
		return admin.SagaFilter{}, usagef("--age: %s is negative; 10m is what has not changed for ten minutes", f.age)
	}
	if len(f.states.states) > 0 {
		states = f.states.states
	}
	return admin.SagaFilter{Type: f.sagaType, States: states, Step: f.step, Unchanged: f.age, Limit: f.limit}, nil
}

// checkType complains about a type that nobody has ever defined here: it is
// mistyped, or the database is that of another service.
func checkType(ctx context.Context, db *connect.Database, name string) error {
	if name == "" {
		return nil
	}
	types, err := sagaTypes(ctx, db)
	if err != nil || slices.Contains(types, name) {
		return err
	}
	return unknownType(name, types)
}

// stateSummary counts sagas by state: "3 sagas: 2 stuck, 1 running".
func stateSummary(sagas []admin.Saga) string {
	n := map[machine.State]int{}
	for i := range sagas {
		n[machine.State(sagas[i].State)]++
	}
	var parts []string
	for _, s := range sagaStates {
		if n[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	return count(int64(len(sagas)), "saga", "sagas") + ": " + strings.Join(parts, ", ")
}
