package admin

import (
	"context"
	"time"

	"tidings.example"
)

// An Auditor tells what a database remembers of numbers: those that its relay has
// given, and those that a subscriber has handled. It changes and locks nothing.
type Auditor interface {
	// Numbered returns what the relay of this database's outbox has numbered.
	// Source is empty where no relay has ever led.
	Numbered(ctx context.Context) (Numbered, error)
	// Handled returns what a subscriber has handled of a source's messages. It has
	// no lanes where the subscriber never got any.
	Handled(ctx context.Context, subscriber, source string) (Handled, error)
	// Subscribers names all subscribers that have an inbox in this database.
	Subscribers(ctx context.Context) ([]string, error)
}

// Numbered is what a source remembers of the numbers that it gave.
type Numbered struct {
	Source string
	// Epoch is the current epoch, and Lanes its number of lanes.
	Epoch string
	Lanes int
	// Counters hold, per channel, the last number of each lane of the current
	// epoch whose message the broker has acknowledged, with all below it. More
	// may have been published.
	Counters map[string][]uint64
	// Planned is the number of rows in plans that are not completed: that many
	// numbers above the counters may have been published.
	Planned int64
	// Epochs are all epochs that were ever opened, the oldest first.
	Epochs []EpochRecord
	// Discarded counts set-aside rows that an operator has given up.
	Discarded int64
}

// An EpochRecord says when and why an epoch was opened.
type EpochRecord struct {
	Name     string
	Lanes    int
	OpenedAt time.Time
	Reason   string
}

// A Span is the numbers from First to Last, both included.
type Span struct{ First, Last uint64 }

// Handled is what a subscriber remembers of one source's messages.
type Handled struct {
	Lanes []HandledLane
	// Discarded are parked messages that an operator has given up.
	Discarded []DiscardedMessage
}

// A HandledLane is what a subscriber has handled, or parked, of one lane: all
// numbers up to Last, without Holes.
type HandledLane struct {
	Lane tidings.Lane
	Last uint64
	// Before is the hole before the first message that the subscriber ever got
	// of the lane, Holes are all others.
	Before, Holes []Span
	// Gaps counts numbers that were found missing, Late those that came after all.
	Gaps, Late uint64
}

// A DiscardedMessage is a parked message that an operator gave up.
type DiscardedMessage struct {
	ID   string
	Lane tidings.Lane
	// Sequence is 0 for a message without a number.
	Sequence uint64
}
