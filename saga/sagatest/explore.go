package sagatest

import (
	"fmt"
	"strings"
	"testing"

	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/store/memory"
)

// An Exploration says which saga is tried, in which world. Saga, World, Check, and a
// model of each command that the saga sends, are required.
type Exploration[W, D any] struct {
	Saga *saga.Definition[D]
	// Data is what the saga is started with.
	Data D
	// World makes the world of the participants as it is before the saga. It is called often and
	// must make the same each time.
	World func() *W
	// Participants model what is done about commands.
	Participants []Model[W]
	// Local replaces local steps; those that work in a *memory.Tx need not be replaced.
	Local []Override[W]
	// Children are definitions of sagas that the saga starts.
	Children []saga.AnyDefinition
	// Events come while the saga runs.
	Events []Event
	// Check returns what is wrong with the world when nothing happens any more.
	Check func(w *W, end End[D]) error
	// Deviations bounds how many things go wrong in one history. Default 2.
	Deviations int
	// Limit bounds the number of histories. Default 200,000.
	Limit int
	// MayBeStuck allows the saga to get stuck; Check then has the last word.
	MayBeStuck bool
}

// An End is how a saga has ended.
type End[D any] struct {
	State machine.State
	Data  D
	// Error says why it was compensated, or is stuck.
	Error string
	// DB is the database of the orchestrator, in which local steps have worked.
	DB *memory.DB
}

// A Result counts the histories that were tried.
type Result struct {
	Histories int
	// ByDeviations counts them by the number of things that went wrong.
	ByDeviations []int
}

func (r Result) String() string {
	parts := make([]string, len(r.ByDeviations))
	for i, n := range r.ByDeviations {
		parts[i] = fmt.Sprintf("%d with %d", n, i)
	}
	return fmt.Sprintf("%d histories (by things that go wrong: %s)", r.Histories, strings.Join(parts, ", "))
}

// A Violation is a history that ends as it must not.
type Violation struct {
	// Err is what Check has returned, or why the saga does not end.
	Err error
	// History has one line for each thing that happened. Those that begin with "!" went wrong.
	History []string
	// Deviations is how many did.
	Deviations int
}

func (v *Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v\nafter this history, with %d things that went wrong (!):\n", v.Err, v.Deviations)
	for i, line := range v.History {
		fmt.Fprintf(&b, "%4d  %s\n", i+1, line)
	}
	return b.String()
}

// Explore tries all histories of a saga in which up to Deviations things go wrong,
// first those with fewer, and fails the test with the shortest of the first that Check, or common sense, objects to.
// What can go wrong, at each step:
//
//   - a participant refuses a command for good, or fails and can be asked again;
//   - a command, a reply or an event is late: what times out first, times out; or is overtaken by what is sent elsewhere;
//   - a reply is lost, or an event never comes, where a timeout goes on without it; a reply, or a command that may be, is repeated;
//   - a transaction of the orchestrator or of a participant is rolled back at its
//     end, and what it was for comes again;
//   - a local step is refused, or fails;
//   - the caller's start is rolled back, or repeated.
//
// It objects to a saga that waits for ever for something, that is stuck unless that is allowed, and to
// panics. Messages of one key stay in order, and the inboxes' deduplication is taken for granted. Histories
// are tried in the same order each time.
func Explore[W, D any](t testing.TB, e Exploration[W, D]) Result {
	t.Helper()
	result, violation, err := e.Search()
	switch {
	case err != nil:
		t.Errorf("explore saga: %v; tried %v", err, result)
	case violation != nil:
		t.Errorf("saga %q: %v\nfound after %v", e.Saga.Name(), violation, result)
	default:
		t.Logf("saga %q: %v", e.Saga.Name(), result)
	}
	return result
}
