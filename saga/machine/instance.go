package machine

import "time"

// A State is how far a saga has got.
type State string

// The states of a saga. The first two and Stuck are unfinished.
const (
	Running      State = "running"
	Compensating State = "compensating"
	// Stuck: something was tried as often as the plan allows, and waits for an operator.
	Stuck State = "stuck"
	// Completed: all steps were done.
	Completed State = "completed"
	// Compensated: a step failed, and all that was done before is undone.
	Compensated State = "compensated"
	// Failed: an operator ended it, and what was done stays.
	Failed State = "failed"
)

// Ended reports whether nothing more happens to a saga in this state.
func (s State) Ended() bool { return s == Completed || s == Compensated || s == Failed }

// An Instance is where one saga stands. It is stored as JSON.
type Instance struct {
	State State `json:"state"`
	// Steps are the states of the steps that were begun, by name.
	Steps map[string]StepState `json:"steps"`
	// Done are the steps that are done and not undone, in the order in which
	// they were done. Members of groups are here, groups are not.
	Done []string `json:"done,omitempty"`
	// Forward is set when the pivot is done.
	Forward bool `json:"forward,omitempty"`
	// Deadline is when the whole saga times out; zero for never.
	Deadline time.Time `json:"deadline,omitzero"`
	// Back is set once it compensates: State alone does not tell, where it is Stuck.
	Back bool `json:"back,omitempty"`
	// Error is why it compensates, is stuck or has failed.
	Error string `json:"error,omitempty"`
	// Cause is why it compensates, kept while Error says why it is stuck.
	Cause string `json:"cause,omitempty"`
	// Halted is why nothing is tried until an operator says so: the data cannot be decoded.
	Halted string `json:"halted,omitempty"`
	// Noted counts the journal entries about inputs that changed nothing; there
	// is a limit to them.
	Noted int `json:"noted,omitempty"`
	// Journal is the number of the last journal entry.
	Journal int `json:"journal"`
}

// A Phase is how far one step has got.
type Phase string

// The phases of a step.
const (
	// Deciding: it is asked whether its condition holds, or until when it waits.
	Deciding Phase = "deciding"
	// Active: it was begun and is waited for.
	Active Phase = "active"
	// Backoff: an attempt failed; the next is at Due.
	Backoff Phase = "backoff"
	// Done: it took effect.
	Done Phase = "done"
	// Skipped: its condition did not hold, or an operator skipped it without effect.
	Skipped Phase = "skipped"
	// Refused: it failed and has no effect.
	Refused Phase = "refused"
	// Unknown: it timed out, so it may take effect yet; it is undone like one that is done.
	Unknown Phase = "unknown"
	// Undoing and UndoBackoff are Active and Backoff of its compensation.
	Undoing     Phase = "undoing"
	UndoBackoff Phase = "undo-backoff"
	// Undone: its compensation took effect, or there was nothing to undo.
	Undone Phase = "undone"
	// StuckForward and StuckUndo wait for an operator.
	StuckForward Phase = "stuck"
	StuckUndo    Phase = "stuck-undo"
)

// A StepState is where one step stands.
type StepState struct {
	Phase Phase `json:"phase"`
	// Kind and Compensation are those of the plan under which it was begun.
	Kind         Kind `json:"kind,omitempty"`
	Compensation Kind `json:"compensation,omitempty"`
	// Attempt counts the attempts of the step, or of its compensation, from 1.
	Attempt int `json:"attempt,omitempty"`
	// Before is how many of them were made before an operator asked for more, and
	// so do not count against the limit.
	Before int `json:"before,omitempty"`
	// Open are the attempts of the step that have had no reply.
	Open []int `json:"open,omitempty"`
	// Round counts the final failures of the command, or of the one that undoes it, of which
	// another attempt is another command; Since is the first attempt of the round.
	Round int `json:"round,omitempty"`
	Since int `json:"since,omitempty"`
	// Sent is how many attempts of the step were made, once it is undone; UndoOpen
	// are the attempts of its compensation that have had no reply.
	Sent     int   `json:"sent,omitempty"`
	UndoOpen []int `json:"undoOpen,omitempty"`
	// Due is when the attempt times out, or the next one begins; zero for never.
	Due time.Time `json:"due,omitzero"`
	// Early is set where the event came before the step was begun.
	Early bool `json:"early,omitempty"`
	// Lost is set for a member of a First group that another member was faster than.
	Lost bool `json:"lost,omitempty"`
	// Error is the last one.
	Error string `json:"error,omitempty"`
}
