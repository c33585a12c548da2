package audit

import (
	"time"

	"tidings.example/admin"
)

// A Kind is what is wrong with some numbers.
type Kind string

// The kinds of differences.
const (
	// Lost: the source has given the number and the broker has acknowledged it,
	// and the channel does not hold it.
	Lost Kind = "lost"
	// Conflict: two different messages have the number.
	Conflict Kind = "conflict"
	// Foreign: the channel holds a number, or an epoch, that the source has not
	// given.
	Foreign Kind = "foreign"
	// Disorder: the number came after a higher one of its lane.
	Disorder Kind = "disorder"
	// Misplaced: the message's key belongs to another lane.
	Misplaced Kind = "misplaced"
	// Unhandled: the channel holds the number, and the subscriber has not
	// handled it.
	Unhandled Kind = "unhandled"
	// Phantom: the subscriber has handled the number, and the channel never held it.
	Phantom Kind = "phantom"
	// Waiting: rows of the outbox are not published yet.
	Waiting Kind = "waiting"
	// Unfinished: published, and not yet noted as such by a relay: the next one
	// will publish it again, under the same number.
	Unfinished Kind = "unfinished"
	// Uncompared: published more than once, and not compared.
	Uncompared Kind = "uncompared"
)

// passing tells kinds that may go away by waiting.
func (k Kind) passing() bool {
	return k == Foreign || k == Unhandled || k == Waiting || k == Unfinished
}

// A Difference is some numbers of one lane that do not agree.
type Difference struct {
	Kind       Kind
	Channel    string
	Subscriber string // of Unhandled and Phantom
	Lane       LaneID
	// The numbers are from First to Last.
	First, Last uint64
	// IDs are those of the first few messages that the channel holds.
	IDs []string
	// Detail says more, for people.
	Detail string
}

// Count is how many numbers, or rows, differ.
func (d *Difference) Count() uint64 { return d.Last - d.First + 1 }

// MaxDifferences is how many differences a report names; the others are counted.
const MaxDifferences = 1000

// A Report is the result of an audit.
type Report struct {
	Source      string
	Epochs      []admin.EpochRecord
	Channels    []ChannelReport
	Subscribers []SubscriberReport
	// Waiting rows of the outbox are not published, SetAside ones cannot be,
	// Discarded ones were given up by an operator.
	Waiting, SetAside, Discarded int64
	Differences                  []Difference
	// Counts are the differing numbers, by kind, Omitted the differences beyond
	// MaxDifferences.
	Counts  map[Kind]uint64
	Omitted int
	Took    time.Duration
}

// Agreed tells whether there is no difference.
func (r *Report) Agreed() bool { return len(r.Differences) == 0 }

func (r *Report) add(d Difference) {
	r.Counts[d.Kind] += d.Count()
	if len(r.Differences) >= MaxDifferences {
		r.Omitted++
		return
	}
	r.Differences = append(r.Differences, d)
}

// A ChannelReport is what a channel holds.
type ChannelReport struct {
	Channel    string
	Partitions int
	// Given are the numbers that the source has given in the current epoch,
	// Published those of all epochs that the channel holds, Repeated how many
	// records it has beyond one for each, and Aged the numbers given that are
	// older than what the channel holds, or before the time range.
	Given, Published, Aged uint64
	Repeated               int64
	// EpochRepeats counts messages that a change of the epoch has repeated.
	EpochRepeats                int64
	Others, Unnumbered, Invalid int64
	// Unordered is set where the order of lanes cannot be checked, since a lane
	// lies in several partitions.
	Unordered bool
	Lanes     []LaneReport
}

// A LaneReport is what a channel holds of one lane.
type LaneReport struct {
	Lane LaneID
	// Given is the last number that the source has given, 0 where the epoch is
	// over and that is not known any more.
	Given     uint64
	Published Spans
	Repeated  int64
}

// A SubscriberReport is what a subscriber has handled.
type SubscriberReport struct {
	Subscriber string
	// Channels are those that it follows, of those that were audited.
	Channels []string
	// Handled counts the numbers, Missing those between them that it never got,
	// and Before those that came before its first.
	Handled, Missing, Before uint64
	Gaps, Late               uint64
	Parked                   []ParkedNumber
	ParkedTotal              int
	Discarded                []admin.DiscardedMessage
	Lanes                    []HandledLane
}

// A ParkedNumber is a message that an inbox has set aside.
type ParkedNumber struct {
	ID, Message, Channel, Key, Reason string
	Lane                              LaneID
	Sequence                          uint64
}

// A HandledLane is how far a subscriber is in a lane.
type HandledLane struct {
	Channel string
	Lane    LaneID
	Last    uint64
	Holes   Spans
}
