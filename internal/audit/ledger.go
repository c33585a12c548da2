package audit

import (
	"hash/maphash"

	"tidings.example"
	"tidings.example/broker"
)

// A LaneID names a lane within a source and a channel.
type LaneID struct {
	Epoch string
	N     int
}

// A Ledger is what a channel holds of one source. It keeps intervals and the
// fingerprints of the last messages of each lane, not messages or ids: its size
// depends on the number of lanes and of their holes.
type Ledger struct {
	Source, Channel string
	Extent          broker.Extent
	// Records counts all records that were read, Others those of them that
	// are of other sources, Unnumbered those without a number, Invalid those
	// that are no messages.
	Records, Others, Unnumbered, Invalid int64
	// EpochRepeats counts messages that were found at the end of one epoch of a
	// lane and again at the beginning of another.
	EpochRepeats int64

	lanes map[LaneID]*laneLedger
	// byN are the same lanes, by number.
	byN map[int][]*laneLedger
	// lanesOf is the number of lanes of each epoch.
	lanesOf map[string]int
}

// A laneLedger is what a channel holds of one lane.
type laneLedger struct {
	id      LaneID
	present Spans
	// repeats counts records with a number that was there.
	repeats int64
	// late came after higher numbers; misplaced have a key of another lane.
	late, misplaced Spans
	// conflicts are numbers of different messages; unsure were repeated so
	// much later that they could not be compared.
	conflicts, unsure Spans
	recent            [recentMessages]fingerprint
}

// recentMessages is how many messages of a lane a repeated one is compared with
// at once.
const recentMessages = 64

type fingerprint struct{ number, hash uint64 }

// seed is the same for all fingerprints of this process.
var seed = maphash.MakeSeed()

// hashOf tells messages apart: two that differ in what a consumer sees have the
// same hash once in 2^64 times.
func hashOf(m *tidings.Message) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, s := range []string{m.ID, m.Key, m.Type} {
		_, _ = h.WriteString(s)
		_ = h.WriteByte(0)
	}
	_, _ = h.Write(m.Payload)
	return h.Sum64()
}

// NewLedger returns the empty ledger of a channel. lanes is the number of lanes of
// each known epoch.
func NewLedger(source, channel string, lanes map[string]int) *Ledger {
	return &Ledger{Source: source, Channel: channel, lanes: map[LaneID]*laneLedger{}, byN: map[int][]*laneLedger{}, lanesOf: lanes}
}

// Add enters the next record of the channel.
func (l *Ledger) Add(r *broker.Retained) {
	l.Records++
	m := &r.Message
	switch {
	case r.Err != nil:
		l.Invalid++
		return
	case m.Source != l.Source:
		l.Others++
		return
	case m.Stamp.Sequence == 0:
		l.Unnumbered++
		return
	}
	lane := l.lane(LaneID{Epoch: m.Stamp.Epoch, N: m.Stamp.Lane})
	n, hash := m.Stamp.Sequence, hashOf(m)
	if lanes := l.lanesOf[m.Stamp.Epoch]; lanes > 0 && tidings.LaneOf(m.OrderingKey(), lanes) != m.Stamp.Lane {
		lane.misplaced.Add(n)
	}
	fresh, late := lane.present.Add(n)
	if !fresh {
		lane.repeat(n, hash)
		return
	}
	if late {
		lane.late.Add(n)
	}
	if others := l.byN[lane.id.N]; len(others) > 1 && lane.present.Count() <= recentMessages && repeated(others, lane, hash) {
		l.EpochRepeats++
	}
	lane.recent[n%recentMessages] = fingerprint{n, hash}
}

func (l *Ledger) lane(id LaneID) *laneLedger {
	lane := l.lanes[id]
	if lane == nil {
		lane = &laneLedger{id: id}
		l.lanes[id] = lane
		l.byN[id.N] = append(l.byN[id.N], lane)
	}
	return lane
}

func (l *laneLedger) repeat(n, hash uint64) {
	l.repeats++
	switch known := l.recent[n%recentMessages]; {
	case known.number != n:
		l.unsure.Add(n)
	case known.hash != hash:
		l.conflicts.Add(n)
	}
}

// repeated tells whether another epoch of the lane has the same message.
func repeated(epochs []*laneLedger, lane *laneLedger, hash uint64) bool {
	for _, other := range epochs {
		if other == lane {
			continue
		}
		for _, f := range other.recent {
			if f.number != 0 && f.hash == hash {
				return true
			}
		}
	}
	return false
}

// present is what the channel holds of a lane.
func (l *Ledger) present(id LaneID) Spans {
	if lane := l.lanes[id]; lane != nil {
		return lane.present
	}
	return nil
}

// wholeFrom tells from which number on the channel must hold a lane: from 1, or,
// where records were removed from the channel's beginning or left out by a time
// range, from the first that is there. ok is false where nothing is
// there, so that nothing can be told.
func (l *Ledger) wholeFrom(id LaneID, ranged bool) (n uint64, ok bool) {
	if !ranged && !l.trimmed(id.N) {
		return 1, true
	}
	first := l.present(id).First()
	return first, first > 0
}

// trimmed tells whether records were removed from the partition of a lane.
func (l *Ledger) trimmed(n int) bool {
	if len(l.Extent.Trimmed) == 0 {
		return false
	}
	if l.ordered() {
		return l.Extent.Trimmed[n%len(l.Extent.Trimmed)]
	}
	for _, t := range l.Extent.Trimmed {
		if t {
			return true
		}
	}
	return false
}

// ordered tells whether each lane lies in one partition.
func (l *Ledger) ordered() bool {
	for _, lanes := range l.lanesOf {
		if l.Extent.Partitions > 0 && lanes%l.Extent.Partitions != 0 {
			return false
		}
	}
	return true
}
