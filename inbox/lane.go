package inbox

import (
	"time"

	"tidings.example"
)

// LaneState is what a subscriber remembers of one lane: the one row that takes
// the place of remembering every message id.
type LaneState struct {
	Lane tidings.Lane
	// Last is the highest number handled (or parked); 0 before the first.
	Last uint64
	// Holes are the numbers below Last that were not handled, in order and
	// not touching each other.
	Holes []Hole
	// Gaps counts the numbers that were found missing, and Late those of them
	// that came after all.
	Gaps, Late uint64
	// HandledAt is when Last was handled, by the consumer's clock, or when
	// the youngest message of the lane was made, by its producer's, if that
	// is later: a clock that is ahead must not make duplicates look new.
	HandledAt time.Time
}

// A Hole is the numbers from First to Last, both included.
type Hole struct {
	First, Last uint64
	// Before marks the hole before the first message that the subscriber ever
	// got in this lane: those messages are not missing, they were sent before
	// it was there.
	Before bool
}
