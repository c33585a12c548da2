package relay

import (
	"math"
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

	sweep     sweep
	nextSweep time.Time
}

// A gap is positions that were skipped, both ends included.
type gap struct {
	first, last int64
	until       time.Time
}

// A sweep is a reading of what lies below, in several queries.
type sweep struct {
	running bool
	after   int64 // where the next query goes on
	upTo    int64
}

const (
	// gapTTL is for how long a skipped position is asked for: a transaction
	// that stays open longer after its append keeps its messages, but not
	// their place in front of later ones of the same key.
	gapTTL = time.Minute
	// maxListed is the number of skipped positions that are listed one by
	// one; with more of them, the whole range is read again.
	maxListed = 4096
	// maxGaps bounds the memory for gaps; the sweep looks after the rest.
	maxGaps       = 1 << 15
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

// sweepAll makes the next queries a sweep over everything up to the highest
// position: rows were put back there that must come before anything newer.
func (p *positions) sweepAll() {
	p.sweep = sweep{running: true, upTo: p.high}
}

// next is the query to make now, and whether it belongs to a sweep.
func (p *positions) next(limit, bytes int) (Query, bool) {
	now := p.now()
	p.gaps = slices.DeleteFunc(p.gaps, func(g gap) bool { return now.After(g.until) })
	if !p.sweep.running && !now.Before(p.nextSweep) {
		p.nextSweep = now.Add(sweepInterval)
		// Rows on their way would be read for nothing: this sweep ends below them.
		p.sweep = sweep{running: true, upTo: p.lowestTaken() - 1}
	}
	if p.sweep.running {
		return Query{After: p.sweep.after, UpTo: p.sweep.upTo, Limit: limit, Bytes: bytes}, true
	}
	listed, fits := p.listGaps()
	if !fits {
		// Rows on their way are read again, so they must not fill the answer.
		return Query{After: p.gaps[0].first - 1, UpTo: math.MaxInt64, Limit: limit + len(p.taken), Bytes: 8 * bytes}, false
	}
	return Query{Positions: listed, After: p.high, UpTo: math.MaxInt64, Limit: limit, Bytes: bytes}, false
}

func (p *positions) lowestTaken() int64 {
	lowest := p.high + 1
	for position := range p.taken {
		lowest = min(lowest, position)
	}
	return lowest
}

func (p *positions) listGaps() (listed []int64, fits bool) {
	for _, g := range p.gaps {
		if g.last-g.first >= int64(maxListed-len(listed)) {
			return nil, false
		}
		for position := g.first; position <= g.last; position++ {
			listed = append(listed, position)
		}
	}
	return listed, true
}

// seen takes the answer to a query and returns the rows that are new, by position.
// They count as taken from now on.
func (p *positions) seen(swept bool, rows []Row) []Row {
	if swept {
		p.advanceSweep(rows)
	}
	fresh := make([]Row, 0, len(rows))
	for _, r := range rows {
		if _, known := p.taken[r.Position]; !known {
			p.taken[r.Position] = struct{}{}
			fresh = append(fresh, r)
		}
	}
	slices.SortFunc(fresh, func(a, b Row) int { return compare(a.Position, b.Position) })
	until := p.now().Add(gapTTL)
	for _, r := range fresh {
		if r.Position > p.high {
			p.skip(p.high+1, r.Position-1, until)
			p.high = r.Position
		} else {
			p.fill(r.Position)
		}
	}
	return fresh
}

// skip adds the positions from first to last to the gaps. Before the first row
// of all, nothing is known of what is below: only as many positions count as
// can be listed.
func (p *positions) skip(first, last int64, until time.Time) {
	if p.high == 0 {
		first = max(first, last-maxListed/4)
	}
	if first > last || len(p.gaps) >= maxGaps {
		return
	}
	p.gaps = append(p.gaps, gap{first, last, until})
}

// fill takes one position out of its gap.
func (p *positions) fill(position int64) {
	i, found := slices.BinarySearchFunc(p.gaps, position, func(g gap, at int64) int {
		switch {
		case g.last < at:
			return -1
		case g.first > at:
			return 1
		}
		return 0
	})
	if !found {
		return
	}
	g := p.gaps[i]
	var rest []gap
	if g.first < position {
		rest = append(rest, gap{g.first, position - 1, g.until})
	}
	if position < g.last {
		rest = append(rest, gap{position + 1, g.last, g.until})
	}
	p.gaps = slices.Replace(p.gaps, i, i+1, rest...)
}

// advanceSweep moves the sweep on behind the rows of its last answer; an empty
// answer ends it.
func (p *positions) advanceSweep(rows []Row) {
	if len(rows) == 0 {
		p.sweep = sweep{}
		return
	}
	for _, r := range rows {
		p.sweep.after = max(p.sweep.after, r.Position)
	}
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
