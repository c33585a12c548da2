package relay

import (
	"cmp"
	"maps"
	"slices"
	"sort"
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
	gaps  gaps

	sweeping  bool // everything below high is being read
	swept     time.Time
	nextSweep time.Time

	// rangeLimit is how many rows may come from ranges at once. It follows
	// their size, as a query bounds only the bytes of what is above After.
	rangeLimit, bytes int
}

const (
	// gapTTL is for how long a skipped position is asked for: a transaction
	// that stays open longer after its append keeps its messages, but not
	// their place in front of later ones of the same key.
	gapTTL        = time.Minute
	sweepInterval = time.Second
	// firstRangeLimit is small enough for rows of any usual size.
	firstRangeLimit = 64
	// lowest is where a sweep begins: below 0, as people may have inserted
	// rows with positions of their own.
	lowest = -1 << 62
)

func newPositions(now func() time.Time) *positions {
	return &positions{taken: map[int64]struct{}{}, now: now, nextSweep: now().Add(sweepInterval),
		gaps: newGaps(maxGaps), rangeLimit: firstRangeLimit}
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
	p.gaps.expire(now)
	p.rangeLimit, p.bytes = min(p.rangeLimit, limit), bytes
	if p.sweeping || !now.Before(p.nextSweep) {
		p.sweeping, p.swept = true, now
		return Query{Ranges: p.notTaken(), RangeLimit: p.rangeLimit}
	}
	q := Query{Ranges: p.gaps.ranges(), RangeLimit: p.rangeLimit, After: p.high, Limit: limit, Bytes: bytes}
	if p.gaps.wide {
		// Rows that are known already must leave room for others.
		q.RangeLimit += len(p.taken)
	}
	return q
}

// notTaken is everything up to the highest position but the rows on their way,
// which would be read for nothing.
func (p *positions) notTaken() []Range {
	free := int64(lowest)
	var all []Range
	for _, taken := range ranges(slices.Sorted(maps.Keys(p.taken))) {
		if taken.First > p.high {
			break
		}
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

// seen takes the answer to q and returns the rows that are new, by position, in
// the same slice. They count as taken from now on.
func (p *positions) seen(q Query, rows []Row) []Row {
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Compare(a.Position, b.Position) })
	inRanges := len(rows)
	if q.Limit > 0 {
		inRanges = sort.Search(len(rows), func(i int) bool { return rows[i].Position > q.After })
	}
	full := inRanges > 0 && inRanges >= q.RangeLimit
	if full {
		// There may be more rows in the ranges than were returned, and they may
		// have been committed before those above: those first.
		rows = rows[:inRanges]
		p.adapt(rows)
	}
	now := p.now()
	if q.Limit == 0 {
		p.sweeping = full
		// A sweep that takes long, as dead rows are many, must not be all that
		// the database does.
		p.nextSweep = now.Add(max(sweepInterval, 20*now.Sub(p.swept)))
	}
	until := now.Add(gapTTL)
	fresh := rows[:0]
	for i := range rows {
		position := rows[i].Position
		_, known := p.taken[position]
		if position > p.high {
			p.gaps.add(p, position, until)
			p.high = position
		} else if !known {
			p.gaps.fill(position)
		}
		if known {
			continue
		}
		p.taken[position] = struct{}{}
		fresh = append(fresh, rows[i])
	}
	return fresh
}

// adapt sets how many rows to ask for in ranges to what fits into the bytes of
// a batch, going by rows that were a full answer.
func (p *positions) adapt(rows []Row) {
	sum := 0
	for i := range rows {
		sum += len(rows[i].Message.Payload)
	}
	fits := 2 * len(rows)
	if sum > 0 {
		fits = min(fits, len(rows)*p.bytes/sum)
	}
	p.rangeLimit = max(fits, 1)
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
