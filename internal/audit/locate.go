package audit

import (
	"slices"

	"tidings.example/broker"
)

// A Locator looks for some numbers when a channel is read again: for their ids,
// whether they are there after all, and whether their messages are the same.
type Locator struct {
	source  string
	wanted  map[place]*sighting
	channel map[string]bool
}

type place struct {
	channel string
	id      LaneID
	n       uint64
}

// A sighting is what was found of a number.
type sighting struct {
	hash    uint64
	ids     []string
	differs bool
}

const (
	// maxIDs is how many ids of a difference are named.
	maxIDs = 3
	// maxWanted bounds how many numbers are looked for.
	maxWanted = 1 << 20
)

// NewLocator returns a locator for what the differences of a report leave open,
// or nil where that is nothing.
func NewLocator(r *Report) *Locator {
	l := &Locator{source: r.Source, wanted: map[place]*sighting{}, channel: map[string]bool{}}
	for i := range r.Differences {
		d := &r.Differences[i]
		if d.Kind == Waiting {
			continue
		}
		for n := d.First; n <= d.Last && len(l.wanted) < maxWanted; n++ {
			if d.Kind != Uncompared && d.Kind != Lost && d.Kind != Phantom && n-d.First >= maxIDs {
				break
			}
			l.wanted[place{d.Channel, d.Lane, n}] = &sighting{}
			l.channel[d.Channel] = true
		}
	}
	if len(l.wanted) == 0 {
		return nil
	}
	return l
}

// Channels are those to be read again.
func (l *Locator) Channels() []string {
	var names []string
	for name := range l.channel {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Add looks at a record.
func (l *Locator) Add(r *broker.Retained) {
	m := &r.Message
	if r.Err != nil || m.Source != l.source || m.Stamp.Sequence == 0 {
		return
	}
	s := l.wanted[place{m.Channel, LaneID{m.Stamp.Epoch, m.Stamp.Lane}, m.Stamp.Sequence}]
	if s == nil {
		return
	}
	hash := hashOf(m)
	s.differs = s.differs || len(s.ids) > 0 && s.hash != hash
	s.hash = hash
	if len(s.ids) < maxIDs && !slices.Contains(s.ids, m.ID) {
		s.ids = append(s.ids, m.ID)
	}
}

// Settle returns the report with what was found: ids are named, numbers that are
// there after all are not missing, and repeated ones are the same or in conflict.
func (l *Locator) Settle(r *Report) *Report {
	settled := *r
	settled.Differences, settled.Counts = nil, map[Kind]uint64{}
	for kind, n := range r.Counts { // those that are only counted stay
		settled.Counts[kind] = n
	}
	for i := range r.Differences {
		settled.Counts[r.Differences[i].Kind] -= r.Differences[i].Count()
	}
	for _, d := range r.Differences {
		for _, part := range l.settle(d) {
			settled.Differences = append(settled.Differences, part)
			settled.Counts[part.Kind] += part.Count()
		}
	}
	return &settled
}

// settle splits a difference into what remains of it.
func (l *Locator) settle(d Difference) []Difference {
	at := func(n uint64) *sighting { return l.wanted[place{d.Channel, d.Lane, n}] }
	switch d.Kind {
	case Lost, Phantom:
		return d.keep(func(n uint64) bool { s := at(n); return s == nil || len(s.ids) == 0 })
	case Uncompared:
		open := d.keep(func(n uint64) bool { s := at(n); return s == nil || len(s.ids) == 0 })
		for _, part := range d.keep(func(n uint64) bool { s := at(n); return s != nil && s.differs }) {
			part.Kind, part.Detail = Conflict, conflictDetail
			part.IDs = at(part.First).ids
			open = append(open, part)
		}
		return open
	case Waiting:
		return []Difference{d}
	}
	for n := d.First; n <= d.Last && n-d.First < maxIDs; n++ {
		if s := at(n); s != nil && len(d.IDs) < maxIDs {
			d.IDs = append(slices.Clip(d.IDs), s.ids...)
		}
	}
	return []Difference{d}
}

// keep returns the runs of numbers that are kept.
func (d *Difference) keep(keeps func(n uint64) bool) []Difference {
	var parts []Difference
	for n := d.First; ; n++ {
		if n-d.First > maxWanted { // none of these was looked for
			rest := *d
			rest.First = n
			return append(parts, rest)
		}
		if keeps(n) {
			if end := len(parts) - 1; end >= 0 && parts[end].Last+1 == n {
				parts[end].Last = n
			} else {
				part := *d
				part.First, part.Last = n, n
				parts = append(parts, part)
			}
		}
		if n == d.Last {
			return parts
		}
	}
}
