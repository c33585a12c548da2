package audit

import (
	"cmp"
	"fmt"
	"slices"

	"tidings.example/admin"
)

// Evidence is all that was read.
type Evidence struct {
	// First was read before the ends of the channels, Now after the channels.
	First, Now admin.Numbered
	// Reading is "log" where the relay reads the database's log, Led whether a
	// relay holds the lease now.
	Reading string
	Led     bool
	// Waiting rows were in the outbox before the reading and still are.
	Waiting, SetAside int64
	// Ranged is set where records were left out by time at the beginning, Cut
	// where they were at the end.
	Ranged, Cut bool
	Channels    []*Ledger
	Subscribers []Subscribed
}

// Subscribed is what was read of one subscriber: First and Now as in Evidence.
type Subscribed struct {
	Name        string
	First, Now  admin.Handled
	Parked      []ParkedNumber
	ParkedTotal int
}

// Compare finds all differences.
func Compare(e *Evidence) *Report {
	r := &Report{Source: e.Now.Source, Epochs: e.Now.Epochs, SetAside: e.SetAside, Waiting: e.Waiting,
		Discarded: e.Now.Discarded, Counts: map[Kind]uint64{}}
	if e.Waiting > 0 {
		r.add(Difference{Kind: Waiting, First: 1, Last: uint64(e.Waiting), Detail: "rows of the outbox that no relay has published"})
	}
	beyond := e.beyond()
	for _, l := range e.Channels {
		c := &comparison{Evidence: e, l: l, r: r, beyond: beyond}
		c.channel()
	}
	for i := range e.Subscribers {
		e.subscriber(&e.Subscribers[i], r)
	}
	return r
}

// beyond says what numbers above the counters are: of plans on their way, or of a
// relay that has not saved them, or of somebody else.
func (e *Evidence) beyond() Kind {
	var n uint64
	for _, l := range e.Channels {
		for id, lane := range l.lanes {
			if id.Epoch == e.Now.Epoch {
				n += lane.present.Without(between(1, given(e.Now, l.Channel, id))).Count()
			}
		}
	}
	if n <= uint64(e.Now.Planned) || e.Reading == "log" && !e.Led {
		return Unfinished
	}
	return Foreign
}

// given is the last number that the source knows to have given.
func given(n admin.Numbered, channel string, id LaneID) uint64 {
	counters := n.Counters[channel]
	if id.Epoch != n.Epoch || id.N < 0 || id.N >= len(counters) {
		return 0
	}
	return counters[id.N]
}

const conflictDetail = "two different messages have this number: subscribers handle the first and drop the other"

// A comparison is that of one channel with its source.
type comparison struct {
	*Evidence
	l      *Ledger
	r      *Report
	beyond Kind
	report ChannelReport
}

func (c *comparison) channel() {
	l := c.l
	c.report = ChannelReport{Channel: l.Channel, Partitions: l.Extent.Partitions, EpochRepeats: l.EpochRepeats,
		Others: l.Others, Unnumbered: l.Unnumbered, Invalid: l.Invalid, Unordered: !l.ordered()}
	for _, id := range c.ids() {
		c.lane(id)
	}
	c.r.Channels = append(c.r.Channels, c.report)
}

// ids are the lanes of which the source or the channel knows anything, sorted.
func (c *comparison) ids() []LaneID {
	known := map[LaneID]bool{}
	for id := range c.l.lanes {
		known[id] = true
	}
	for _, n := range []admin.Numbered{c.First, c.Now} {
		for i, last := range n.Counters[c.l.Channel] {
			if last > 0 {
				known[LaneID{n.Epoch, i}] = true
			}
		}
	}
	return c.sorted(known)
}

// sorted puts lanes in the order of their epochs.
func (e *Evidence) sorted(known map[LaneID]bool) []LaneID {
	ids := make([]LaneID, 0, len(known))
	for id := range known {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b LaneID) int {
		return cmp.Or(cmp.Compare(e.epoch(a.Epoch), e.epoch(b.Epoch)), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.N, b.N))
	})
	return ids
}

// epoch is the place of an epoch, -1 for one that the source does not know.
func (e *Evidence) epoch(name string) int {
	return slices.IndexFunc(e.Now.Epochs, func(r admin.EpochRecord) bool { return r.Name == name })
}

func (c *comparison) lane(id LaneID) {
	present := c.l.present(id)
	lane := LaneReport{Lane: id, Given: given(c.Now, c.l.Channel, id), Published: slices.Clone(present)}
	c.report.Given += lane.Given
	c.report.Published += present.Count()
	known := c.epoch(id.Epoch)
	if known >= 0 && id.N < c.Now.Epochs[known].Lanes {
		c.missing(id, present)
		if id.Epoch == c.Now.Epoch {
			c.spans(c.beyond, id, present.Without(between(1, lane.Given)), c.beyondDetail(lane.Given))
		}
	} else {
		detail := "the source has no such lane"
		if known < 0 {
			detail = "the source never opened this epoch"
		}
		c.spans(Foreign, id, present, detail)
	}
	if found := c.l.lanes[id]; found != nil {
		lane.Repeated = found.repeats
		c.report.Repeated += found.repeats
		c.spans(Conflict, id, found.conflicts, conflictDetail)
		c.spans(Uncompared, id, found.unsure.Without(found.conflicts), "published again much later")
		c.spans(Misplaced, id, found.misplaced, "the key belongs to another lane")
		if c.l.ordered() {
			c.spans(Disorder, id, found.late, "stored behind a higher number")
		}
	}
	c.report.Lanes = append(c.report.Lanes, lane)
}

func (c *comparison) beyondDetail(given uint64) string {
	if c.beyond == Unfinished {
		return "published, and not noted by a relay yet"
	}
	return fmt.Sprintf("the source has given numbers up to %d", given)
}

// missing finds numbers that must be in the channel and are not. Of the current
// epoch these are all that the source had noted when the reading began; of any, those
// between others, as the lowest of a lane are published first.
func (c *comparison) missing(id LaneID, present Spans) {
	last := present.Last()
	if id.Epoch == c.Now.Epoch {
		last = min(last, given(c.Now, c.l.Channel, id))
	}
	if !c.Cut {
		last = max(last, given(c.First, c.l.Channel, id))
	}
	from, ok := c.l.wholeFrom(id, c.Ranged)
	if !ok {
		c.report.Aged += last
		return
	}
	c.report.Aged += from - 1
	c.spans(Lost, id, between(from, last).Without(present), "given by the source, and not in the channel")
}

func (c *comparison) spans(kind Kind, id LaneID, numbers Spans, detail string) {
	for _, span := range numbers {
		c.r.add(Difference{Kind: kind, Channel: c.l.Channel, Lane: id, First: span.First, Last: span.Last, Detail: detail})
	}
}
