package inbox

import (
	"slices"
	"time"
)

// A Verdict is what a message's number says about it, given its lane's record.
type Verdict int

// The verdicts of [Decide].
const (
	// First: nothing of the lane was handled before. Handle it.
	First Verdict = iota + 1
	// Next: the number after the last one. Handle it.
	Next
	// Gap: numbers before it are missing. Handle it (or, strictly, park it).
	Gap
	// Late: it was missing until now. Handle it.
	Late
	// Duplicate: it was handled before. Acknowledge it.
	Duplicate
	// SetBack: its number was handled before, but it was made after that, so
	// it is another message: the source was set back without opening a new
	// epoch. Park it.
	SetBack
	// TooManyHoles: the record would have more holes than allowed. Stop.
	TooManyHoles
)

var verdicts = [...]string{"", "first", "next", "gap", "late", "duplicate", "set-back", "too-many-holes"}

func (v Verdict) String() string { return verdicts[v] }

// Fresh reports whether the message was not handled before and advances its
// lane's record.
func (v Verdict) Fresh() bool { return v >= First && v <= Late }

// Rules are the settings that Decide depends on; see [Config].
type Rules struct {
	MaxHoles       int
	ClockTolerance time.Duration
}

// An Arrival is a message as Decide sees it.
type Arrival struct {
	// Sequence is its number, from 1 to 2^63-1.
	Sequence uint64
	// Made is when it was made, by the producer's clock, and Now is now, by ours.
	Made, Now time.Time
}

// A Decision is what to do with a message, and the lane's record once that is done.
type Decision struct {
	Verdict Verdict
	// State is the record to save together with the effects; the one before
	// where the verdict is not Fresh.
	State LaneState
	// Missing are the numbers that were found missing; zero if the verdict is
	// not Gap.
	Missing Hole
}

// Decide tells from a lane's record what a message is. It changes nothing that
// s refers to. The record must be locked from before Decide until it is saved
// in the transaction of the message's effects.
func Decide(s LaneState, a Arrival, r Rules) Decision {
	n := a.Sequence
	switch {
	case s.Last == 0:
		return first(s, a)
	case n == s.Last+1:
		s.advance(a)
		return Decision{Verdict: Next, State: s}
	case n > s.Last:
		return gap(s, a, r)
	}
	if i, ok := holeWith(s.Holes, n); ok {
		return late(s, i, a, r)
	}
	if a.Made.After(s.HandledAt.Add(r.ClockTolerance)) {
		return Decision{Verdict: SetBack, State: s}
	}
	return Decision{Verdict: Duplicate, State: s}
}

func first(s LaneState, a Arrival) Decision {
	if a.Sequence > 1 {
		s.Holes = []Hole{{First: 1, Last: a.Sequence - 1, Before: true}}
	}
	s.advance(a)
	return Decision{Verdict: First, State: s}
}

func gap(s LaneState, a Arrival, r Rules) Decision {
	if len(s.Holes) >= r.MaxHoles {
		return Decision{Verdict: TooManyHoles, State: s}
	}
	missing := Hole{First: s.Last + 1, Last: a.Sequence - 1}
	s.Holes = append(slices.Clip(s.Holes), missing)
	s.Gaps += missing.size()
	s.advance(a)
	return Decision{Verdict: Gap, State: s, Missing: missing}
}

// late closes one number of hole i.
func late(s LaneState, i int, a Arrival, r Rules) Decision {
	n, h := a.Sequence, s.Holes[i]
	var rest []Hole
	if h.First < n {
		rest = append(rest, Hole{First: h.First, Last: n - 1, Before: h.Before})
	}
	if n < h.Last {
		rest = append(rest, Hole{First: n + 1, Last: h.Last, Before: h.Before})
	}
	if len(rest) == 2 && len(s.Holes) >= r.MaxHoles {
		return Decision{Verdict: TooManyHoles, State: s}
	}
	s.Holes = slices.Concat(s.Holes[:i], rest, s.Holes[i+1:])
	if !h.Before {
		s.Late++
	}
	s.HandledAt = latest(s.HandledAt, a.made())
	return Decision{Verdict: Late, State: s}
}

func (s *LaneState) advance(a Arrival) {
	s.Last = a.Sequence
	s.HandledAt = latest(s.HandledAt, a.Now, a.made())
}

// maxAhead is how far ahead of our clock a message's time is believed: one far
// in the future must not switch off the check for a source that was set back.
const maxAhead = time.Hour

func (a *Arrival) made() time.Time {
	if limit := a.Now.Add(maxAhead); a.Made.After(limit) {
		return limit
	}
	return a.Made
}

func latest(ts ...time.Time) time.Time { return slices.MaxFunc(ts, time.Time.Compare) }

// holeWith returns the index of the hole that n is in.
func holeWith(holes []Hole, n uint64) (int, bool) {
	return slices.BinarySearchFunc(holes, n, func(h Hole, n uint64) int {
		switch {
		case h.Last < n:
			return -1
		case h.First > n:
			return 1
		}
		return 0
	})
}

func (h Hole) size() uint64 { return h.Last - h.First + 1 }
