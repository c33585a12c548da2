package machine

import "time"

// An Input is something that happens to a saga, at a time.
type Input struct {
	At time.Time
	// Jitter, from 0 to 1, is chance, for the waits between attempts.
	Jitter float64
	What   Happening
}

// A Happening is one of the types below.
type Happening interface{ happening() }

type (
	// Started is the first input of an instance.
	Started struct{}

	// Ran is what the local step, or local compensation, of a [RunLocal] came
	// to: an empty Error, or an error that is final (Refused), or one that may pass when it is
	// tried again.
	Ran struct {
		Step    string
		Undo    bool
		Error   string
		Refused bool
	}

	// Answered answers a [Decide]: whether the step's condition holds, and, of a
	// Wait, until when to wait, where the data says so.
	Answered struct {
		Step  string
		Holds bool
		Until time.Time
	}

	// Replied is a participant's reply to the command with this token.
	Replied struct {
		Token   Token
		Success bool
		// Retryable failures are tried again as the step's Retry says.
		Retryable bool
		Error     string
		// Message is the reply's id, for the journal; Type its type.
		Message, Type string
	}

	// Signaled says that the event of a step has come.
	Signaled struct {
		Step          string
		Message, Type string
	}

	// ChildEnded says that the child saga of a step has ended: completed, or
	// compensated, also after an [UndoChild]; a child that had ended otherwise
	// before that is answered with its state at once.
	ChildEnded struct {
		Step string
		// Attempt is that of the [StartChild]; 0 is taken for the last.
		Attempt int
		State   State
		Error   string
	}

	// Woken says that the time of [Next] has come, or may have.
	Woken struct{}

	// Undecodable says that the saga's data cannot be read by this program. Asked is
	// what an operator has asked for in vain, "" where none has.
	Undecodable struct{ Error, Asked string }

	// Requested is what an operator asks for.
	Requested struct {
		Op Op
		// Step is required for Skip where more than one step is stuck or waited for.
		Step string
		// Success tells, for Skip, whether the step counts as done, or as refused.
		Success bool
		// Parent is set where the parent saga asks, by [UndoChild]. Only then can
		// a completed saga be compensated; it ends, and tells so, a second time.
		Parent bool
		Actor  string
		Reason string
	}
)

func (Started) happening()     {}
func (Ran) happening()         {}
func (Answered) happening()    {}
func (Replied) happening()     {}
func (Signaled) happening()    {}
func (ChildEnded) happening()  {}
func (Woken) happening()       {}
func (Undecodable) happening() {}
func (Requested) happening()   {}

// An Op is what an operator can do to an unfinished saga.
type Op string

const (
	// RetryNow tries what is stuck, or waits for its next attempt, again at once,
	// with all its attempts.
	RetryNow Op = "retry"
	// Skip takes the step for done, or refused, with a reply that the operator gives.
	Skip Op = "skip"
	// Compensate undoes what was done.
	Compensate Op = "compensate"
	// Fail ends the saga; what was done stays.
	Fail Op = "fail"
)

// A Token names one attempt at a command of a saga. It goes out with the
// command and comes back with the reply.
type Token struct {
	Step    string
	Undo    bool
	Attempt int
}
