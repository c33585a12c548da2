package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tidings.example/admin"
	"tidings.example/internal/connect"
	"tidings.example/internal/suggest"
	"tidings.example/saga/machine"
)

func newSagaCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "saga",
		Short:   "Look at sagas, repair what is stuck, and break locks",
		GroupID: groupOperate,
		Long: `A saga carries out a change that spans several services, step by step, and undoes what
was done when a step fails. These commands work on the database of the service that runs
the saga; locks and unlock on that of the participant. The commands change no saga
themselves: a request is stored, and the running service carries it out, within a
second or so.`,
		Example: `  tidings saga types --store-url sqlite:orders.db
  tidings saga list --state stuck
  tidings saga show create-order 42
  tidings saga retry create-order 42 --reason 'the customers service is back'
  tidings saga draw create-order --format mermaid`,
	}
	asGroup(a, cmd)
	cmd.AddCommand(newSagaTypes(a), newSagaList(a), newSagaShow(a), newSagaRetry(a), newSagaSkip(a),
		newSagaCompensate(a), newSagaFail(a), newSagaDraw(a), newSagaLocks(a), newSagaUnlock(a))
	return cmd
}

// The states of sagas, in the order in which they are shown.
var sagaStates = []machine.State{machine.Running, machine.Compensating, machine.Stuck,
	machine.Completed, machine.Compensated, machine.Failed}

// stateList is a flag that takes states of sagas, and names for several of them.
type stateList struct{ states []string }

var stateWords = func() (words []string) {
	for _, s := range sagaStates {
		words = append(words, string(s))
	}
	return append(words, "unfinished", "ended", "all")
}()

func statesOf(word string) (states []string) {
	for _, s := range sagaStates {
		if word == string(s) || word == "all" || word == "ended" && s.Ended() || word == "unfinished" && !s.Ended() {
			states = append(states, string(s))
		}
	}
	return states
}

func (l *stateList) String() string { return strings.Join(l.states, ",") }
func (l *stateList) Type() string   { return "STATE,..." }

func (l *stateList) Set(s string) error {
	for word := range strings.SplitSeq(s, ",") {
		states := statesOf(word)
		if len(states) == 0 {
			return fmt.Errorf("%q is not one of %s%s", shorten(word, 40), strings.Join(stateWords, ", "),
				didYouMean("", suggest.Nearest(word, stateWords)))
		}
		for _, state := range states {
			if !slices.Contains(l.states, state) {
				l.states = append(l.states, state)
			}
		}
	}
	return nil
}

// sagaName is a saga in texts.
func sagaName(s *admin.Saga) string { return s.Type + " " + s.ID }

// sagaError says what to do about a saga that is not there, or takes no request.
func sagaError(sagaType, id string, err error) error {
	switch {
	case errors.Is(err, admin.ErrNotFound):
		return negativef("there is no saga %s %s; see tidings saga list --state all", sagaType, id)
	case errors.Is(err, admin.ErrSagaEnded), errors.Is(err, admin.ErrRequestWaits):
		return negativef("%w", err)
	}
	return err
}

// sagaTypes are the types of sagas that a database knows, sorted.
func sagaTypes(ctx context.Context, db *connect.Database) ([]string, error) {
	var types []string
	plans, err := db.Admin.SagaPlans(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, p := range plans {
		types = append(types, p.Type)
	}
	counts, err := db.Admin.CountSagas(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range counts {
		types = append(types, c.Type)
	}
	slices.Sort(types)
	return slices.Compact(types), nil
}

// unknownType says which types there are.
func unknownType(name string, types []string) error {
	if len(types) == 0 {
		return negativef("this database knows no sagas: a service stores their definitions when it starts")
	}
	return negativef("no saga of the type %q is known here%s; known are: %s", name,
		didYouMean("", suggest.Nearest(name, types)), strings.Join(types, ", "))
}
