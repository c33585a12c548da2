package machine

import "time"

// An Output is something to be done, in the transaction that stores the
// instance, in the order given: one of the types below.
type Output interface{ output() }

type (
	// RunLocal asks to run a local step or compensation, and for a [Ran].
	RunLocal struct {
		Step string
		Undo bool
	}
	// Decide asks for an [Answered].
	Decide struct{ Step string }
	// Send asks to send a command, or the notification of a step; only commands have replies.
	// Round, from 0, counts the final failures that the command has had. Participants
	// remember such a failure for the command's id, so each round takes an id of its
	// own, while all attempts of one round are the same command.
	Send struct {
		Token Token
		Round int
	}
	// StartChild asks to start the child saga of a step.
	// A second attempt, which only an operator can ask for, is another saga.
	StartChild struct {
		Step    string
		Attempt int
	}
	// UndoChild asks to compensate the child saga that was started by this attempt at a step, which has completed
	// or may yet complete; its [ChildEnded] follows.
	UndoChild struct {
		Step    string
		Attempt int
	}
	// Record asks to write a journal entry.
	Record struct{ Entry Entry }
	// Finished says that the saga has ended: locks that participants hold for
	// it are to be released, and those who wait for it, told.
	Finished struct{ State State }
)

func (RunLocal) output()   {}
func (Decide) output()     {}
func (Send) output()       {}
func (StartChild) output() {}
func (UndoChild) output()  {}
func (Record) output()     {}
func (Finished) output()   {}

// An Entry is one line of a saga's journal.
type Entry struct {
	// Number counts a saga's entries from 1.
	Number int
	At     time.Time
	// What happened; Step is empty for what happens to the saga as a whole.
	What Occurrence
	Step string
	Undo bool
	// Attempt is of the step, from 1; 0 where there is none.
	Attempt int
	// Message is the id of the message that it is about, Type its type.
	Message, Type string
	// Text is an error, a reason, or who did it.
	Text string
}

// An Occurrence is what a journal entry tells.
type Occurrence string

// What a journal tells.
const (
	OccurredStart      Occurrence = "started"
	OccurredBegin      Occurrence = "step begun"
	OccurredDone       Occurrence = "step done"
	OccurredRefused    Occurrence = "step refused"
	OccurredSkip       Occurrence = "step skipped"
	OccurredFailure    Occurrence = "attempt failed"
	OccurredTimeout    Occurrence = "timed out"
	OccurredReply      Occurrence = "reply"
	OccurredLateReply  Occurrence = "late reply"
	OccurredRepeated   Occurrence = "repeated reply"
	OccurredForeign    Occurrence = "foreign reply"
	OccurredSignal     Occurrence = "event"
	OccurredCompensate Occurrence = "compensation begins"
	OccurredUndo       Occurrence = "undo begun"
	OccurredUndone     Occurrence = "undone"
	OccurredStuck      Occurrence = "stuck"
	OccurredOverdue    Occurrence = "overdue"
	OccurredOperator   Occurrence = "operator"
	OccurredEnd        Occurrence = "ended"
)
