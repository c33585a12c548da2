package machine

import "time"

// A Plan is a saga's definition as far as the machine, a drawing and an operator
// need it: data, which can be stored, printed and compared.
type Plan struct {
	// Name is the saga's type.
	Name string `json:"name"`
	// Steps are done in order. Names are unique within the plan, members of
	// groups included.
	Steps []Step `json:"steps"`
	// Timeout is how long the whole saga may take before it is compensated, or,
	// behind its pivot, is noted as overdue. 0: for ever.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Undo says how often and when compensations, and steps behind the pivot, are tried again
	// before the saga is stuck.
	Undo Retry `json:"undo"`
}

// A Kind is what a step does.
type Kind string

// The kinds of steps. Compensations are Local or Command; a Saga is compensated as such.
const (
	// Local changes the service's own database.
	Local Kind = "local"
	// Command asks a participant and waits for its reply.
	Command Kind = "command"
	// Notify tells a participant and waits for nothing.
	Notify Kind = "notify"
	// Group does its members at the same time.
	Group Kind = "group"
	// Saga starts another saga and waits for its end.
	Saga Kind = "saga"
	// Event waits for an event.
	Event Kind = "event"
	// Wait waits for a time.
	Wait Kind = "wait"
)

// A Step is one step of a plan.
type Step struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Compensation is how the step is undone: Local, Command, Saga, or "" for a
	// step that needs none.
	Compensation Kind `json:"compensation,omitempty"`
	// Conditional is set where the saga's data decides whether the step is done.
	Conditional bool `json:"conditional,omitempty"`
	// Pivot is the point of no return: once the step is done, the saga goes only forward.
	Pivot bool `json:"pivot,omitempty"`
	// Timeout is how long one attempt may take until its reply, event or child
	// has come. 0: for ever. Of Wait: how long to wait, unless the data says until when.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Retry says how often a step is tried again before it has failed.
	Retry Retry `json:"retry,omitzero"`
	// Join is set for groups only, with their Members.
	Join    Join   `json:"join,omitempty"`
	Members []Step `json:"members,omitempty"`
	// What follows is for people who read the plan. Participant and Type name
	// who is asked for what; Undoing is the type of the command that undoes it.
	// Type is the type of the event, or of the child saga, where those are waited for.
	Participant string `json:"participant,omitempty"`
	Type        string `json:"type,omitempty"`
	Undoing     string `json:"undoing,omitempty"`
}

// A Join says when a group is done.
type Join string

const (
	// All waits for all members. When one fails, the others are waited for, and
	// what was done is undone.
	All Join = "all"
	// First goes on when one member has succeeded; what others have done or may still
	// do is undone. The group fails when all have failed.
	First Join = "first"
)

// Retry says how often and when something is tried again. The wait doubles from
// Initial to Max, each shortened by chance to between its half and the whole.
type Retry struct {
	// Attempts is how often it is tried in all. 0 and 1: once.
	Attempts int           `json:"attempts,omitempty"`
	Initial  time.Duration `json:"initial,omitempty"`
	Max      time.Duration `json:"max,omitempty"`
}

// Find returns the step of that name, also inside groups, or nil.
func (p *Plan) Find(name string) *Step { return find(p.Steps, name) }

func find(steps []Step, name string) *Step {
	for i := range steps {
		if steps[i].Name == name {
			return &steps[i]
		}
		if s := find(steps[i].Members, name); s != nil {
			return s
		}
	}
	return nil
}
