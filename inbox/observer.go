package inbox

import "time"

// An Outcome is what became of a message.
type Outcome string

// The values of Outcome.
const (
	// Handled: the handler's transaction was committed.
	Handled Outcome = "handled"
	// Duplicated: it had been handled before.
	Duplicated Outcome = "duplicate"
	// GivenUp: it failed, and Config.GiveUp has settled it.
	GivenUp Outcome = "givenup"
	// ParkedFailed: it failed, was set aside, and holds its key.
	ParkedFailed Outcome = "parked"
	// ParkedBehind: it waits behind a parked one of its key.
	ParkedBehind Outcome = "behind"
	// ParkedSetBack: its source was set back; see Config.ClockTolerance.
	ParkedSetBack Outcome = "setback"
	// Retried: a parked message was handled after all.
	Retried Outcome = "retried"
)

// An Observer is told what an inbox does. Its methods are called by several
// goroutines and must not block.
type Observer interface {
	// Done reports a message that is finished with.
	Done(d Done)
	// Failed reports an attempt that failed.
	Failed(f Failed)
}

// Done describes a message that is finished with.
type Done struct {
	Subscriber, Source, Channel, Type string
	Outcome                           Outcome
	// Late is set for a message that had been missed before it came.
	Late bool
	// Missing is the number of messages that were found missing before it.
	Missing uint64
	// Attempts is how often the handler was called, 0 where it was not.
	Attempts int
	// Duration is the time that its transaction took, which Batch messages shared.
	Duration time.Duration
	Batch    int
	// Age is the time since the message was made, by both sides' clocks.
	Age time.Duration
}

// Failed describes an attempt that failed.
type Failed struct {
	Subscriber, Source, Channel, Type string
	Attempt                           int
	// Transient attempts are not counted against Config.MaxAttempts.
	Transient bool
	Err       error
}

type noObserver struct{}

func (noObserver) Done(Done)     {}
func (noObserver) Failed(Failed) {}

// Stats are an inbox's counts since it was made, and its load now.
type Stats struct {
	// Handled counts committed messages, Retried those of them that had been parked.
	Handled, Retried uint64
	Duplicates       uint64
	// GivenUp counts messages that failed and that Config.GiveUp has settled.
	GivenUp uint64
	// Gaps counts the places where messages were found missing, Missing those
	// messages, and Late those that came after all.
	Gaps, Missing, Late uint64
	// Parked counts messages set aside, with those behind them; SetBack those
	// of them that show that a source was set back.
	Parked, SetBack uint64
	// Failures counts attempts that failed.
	Failures uint64
	// InFlight is the number of messages in memory, Waiting the number of
	// lanes that wait to try again.
	InFlight, Waiting int
	// HeldKeys is the number of keys with parked messages, and HeldFor how
	// long the oldest of them has been held, as of the last look, some
	// seconds ago. They stay 0 with a store that is no [HeldCounter].
	HeldKeys int
	HeldFor  time.Duration
	// Err is why the inbox cannot work now, nil while it can.
	Err error
}
