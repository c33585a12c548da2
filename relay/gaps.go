package relay

import (
	"slices"
	"time"
)

// gaps are the positions that were skipped, in order, not touching each other.
//
// Their number is bounded. Servers of a cluster that each use every third
// number, say, leave gaps everywhere: those among rows that are removed from
// the table are joined to one, since a query over all of it finds nothing else.
// Where that is not enough a gap takes in rows that are on their way, which are
// then read for nothing; no position is ever left out.
type gaps struct {
	all []gap
	max int
	// joinAt is the number at which to join again.
	joinAt int
	// wide says that gaps may hold rows that are on their way.
	wide bool
}

// A gap is positions that were skipped. It may hold some that were not.
type gap struct {
	Range
	until time.Time
}

const (
	// maxGaps bounds the number of ranges in a query, about.
	maxGaps = 1024
	// gapsToJoin is the number of gaps that are not worth the joining.
	gapsToJoin = 64
	// sameTime is how far apart gaps may have been found that become one:
	// a gap is given up as a whole.
	sameTime = gapTTL / 16
)

func newGaps(limit int) gaps { return gaps{max: limit, joinAt: min(gapsToJoin, limit)} }

// expire gives up those that were asked for long enough.
func (g *gaps) expire(now time.Time) {
	g.all = slices.DeleteFunc(g.all, func(one gap) bool { return now.After(one.until) })
	g.wide = g.wide && len(g.all) > 0
}

func (g *gaps) ranges() []Range {
	all := make([]Range, len(g.all))
	for i := range g.all {
		all[i] = g.all[i].Range
	}
	return all
}

// add notes that everything between the highest position and this one was
// skipped.
func (g *gaps) add(p *positions, position int64, until time.Time) {
	r := Range{p.high + 1, position - 1}
	if r.First > r.Last {
		return
	}
	if len(g.all) >= g.joinAt {
		g.join(p.taken)
	}
	if n := len(g.all); n >= g.max {
		g.wide = true
		g.all[n-1] = gap{Range{g.all[n-1].First, r.Last}, until}
		return
	}
	g.all = append(g.all, gap{r, until})
}

// join makes one gap of neighbours with no row in the table between them that
// is on its way: whatever was there is removed.
func (g *gaps) join(taken map[int64]struct{}) {
	first := int64(1<<63 - 1) // of what is on its way
	for position := range taken {
		first = min(first, position)
	}
	joined := g.all[:0]
	var since time.Time // the until of the first that the last of joined has in it
	for _, one := range g.all {
		n := len(joined)
		if n > 0 && one.First <= first && one.until.Sub(since) <= sameTime {
			joined[n-1].Last, joined[n-1].until = one.Last, one.until
			continue
		}
		joined, since = append(joined, one), one.until
	}
	g.all = joined
	g.joinAt = max(min(gapsToJoin, g.max), min(2*len(joined), g.max))
}

// fill takes one position out of its gap.
func (g *gaps) fill(position int64) {
	i, found := slices.BinarySearchFunc(g.all, position, func(one gap, at int64) int {
		switch {
		case one.Last < at:
			return -1
		case one.First > at:
			return 1
		}
		return 0
	})
	if !found {
		return
	}
	whole := g.all[i]
	var rest []gap
	if whole.First < position {
		rest = append(rest, gap{Range{whole.First, position - 1}, whole.until})
	}
	if position < whole.Last {
		rest = append(rest, gap{Range{position + 1, whole.Last}, whole.until})
	}
	if len(rest) > 1 && len(g.all) >= g.max {
		g.wide = true // it stays in, and is read for nothing
		return
	}
	g.all = slices.Replace(g.all, i, i+1, rest...)
}
