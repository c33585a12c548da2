package relay

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// positions knows which rows of the outbox were taken up, and asks for the
// others. Positions are handed out before the commit: a row may become visible
// below rows that were read long before it. Remembering only the highest
// position would lose it; so what was skipped is a gap, and is asked for again
// together with what is new, in the same snapshot.
//
// A gap is given up after gapTTL, as most are left by transactions that were
// rolled back; a row that appears still later is found by the sweep, which
// from time to time reads everything below the rows on their way. Such a row is
// not lost, but may come after a newer one of its key.
type positions struct {
	now   func() time.Time
	high  int64              // the highest position seen
	taken map[int64]struct{} // read, and not removed from the table yet
	gaps  []gap              // in order, not touching each other

	sweeping  bool // everything below high is being read
	nextSweep time.Time
}

// A gap is positions that were skipped.
type gap struct {
	Range
	until time.Time
}

const (
	// gapTTL is for how long a skipped position is asked for: a transaction
	// that stays open longer after its append keeps its messages, but not
	// their place in front of later ones of the same key.
	gapTTL = time.Minute
	// maxGaps bounds the number of gaps; the sweep looks after the rest.
	maxGaps       = 4096
	sweepInterval = time.Second
)

func newPositions(now func() time.Time) *positions {
	return &positions{taken: map[int64]struct{}{}, now: now, nextSweep: now().Add(sweepInterval)}
}

// take marks rows of recovered plans.
func (p *positions) take(ps []int64) {
	for _, position := range ps {
		p.taken[position] = struct{}{}
	}
}

// remove forgets rows that are no longer in the table.
func (p *positions) remove(ps []int64) {
	for _, position := range ps {
		delete(p.taken, position)
	}
}

// sweep makes the next query one over everything below the highest position.
// Rows that were put back there must come before anything newer.
func (p *positions) sweep() { p.sweeping = true }

// next is the query to make now.
func (p *positions) next(limit, bytes int) Query {
	now := p.now()
	p.gaps = slices.DeleteFunc(p.gaps, func(g gap) bool { return now.After(g.until) })
	if p.sweeping || !now.Before(p.nextSweep) {
		p.sweeping, p.nextSweep = true, now.Add(sweepInterval)
		return Query{Ranges: p.notTaken(), RangeLimit: limit}
	}
	q := Query{RangeLimit: limit, After: p.high, Limit: limit, Bytes: bytes}
	for _, g := range p.gaps {
		q.Ranges = append(q.Ranges, g.Range)
	}
	return q
}

// notTaken is everything up to the highest position but the rows on their way,
// which would be read for nothing.
func (p *positions) notTaken() []Range {
	free := int64(1)
	var all []Range
	for _, taken := range ranges(slices.Sorted(maps.Keys(p.taken))) {
		if free < taken.First {
			all = append(all, Range{free, taken.First - 1})
		}
		free = taken.Last + 1
	}
	if free <= p.high {
		all = append(all, Range{free, p.high})
	}
	return all
}

// seen takes the answer to q and returns the rows that are new, by position.
// They count as taken from now on.
func (p *positions) seen(q Query, rows []Row) []Row {
	if q.Limit == 0 {
		// A full answer may have left rows out: the sweep goes on.
		p.sweeping = len(rows) >= q.RangeLimit
	}
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Compare(a.Position, b.Position) })
	fresh := make([]Row, 0, len(rows))
	until := p.now().Add(gapTTL)
	inGaps := 0
	for _, r := range rows {
		if r.Position <= q.After {
			inGaps++
		} else if q.Limit > 0 && inGaps > 0 && inGaps >= q.RangeLimit {
			// There may be more rows in the gaps than were returned, and they may
			// have been committed before these: those first.
			break
		}
		if _, known := p.taken[r.Position]; known {
			continue
		}
		p.taken[r.Position] = struct{}{}
		fresh = append(fresh, r)
		if r.Position > p.high {
			p.skip(p.high+1, r.Position-1, until)
			p.high = r.Position
		} else {
			p.fill(r.Position)
		}
	}
	return fresh
}

// skip adds the positions from first to last to the gaps.
func (p *positions) skip(first, last int64, until time.Time) {
	if first <= last && len(p.gaps) < maxGaps {
		p.gaps = append(p.gaps, gap{Range{first, last}, until})
	}
}

// fill takes one position out of its gap.
func (p *positions) fill(position int64) {
	i, found := slices.BinarySearchFunc(p.gaps, position, func(g gap, at int64) int {
		switch {
		case g.Last < at:
			return -1
		case g.First > at:
			return 1
		}
		return 0
	})
	if !found {
		return
	}
	g := p.gaps[i]
	var rest []gap
	if g.First < position {
		rest = append(rest, gap{Range{g.First, position - 1}, g.until})
	}
	if position < g.Last {
		rest = append(rest, gap{Range{position + 1, g.Last}, g.until})
	}
	p.gaps = slices.Replace(p.gaps, i, i+1, rest...)
}

// ranges joins positions, which are in order, to ranges.
func ranges(positions []int64) []Range {
	var all []Range
	for _, p := range positions {
		if n := len(all); n > 0 && all[n-1].Last == p-1 {
			all[n-1].Last = p
		} else {
			all = append(all, Range{p, p})
		}
	}
	return all
}
