package relay

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A cluster of three servers, of which this one uses every third number: the
// gaps that it leaves stay few, though all of them are asked for.
func TestGapsOfInterleavedNumbersAreJoined(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	p := newPositions(func() time.Time { return now })
	most := 0
	for at := int64(3); at < 300_000; at += 300 {
		now = now.Add(50 * time.Millisecond)
		p.nextSweep = now.Add(time.Hour)
		q := p.next(100, 1<<20)
		most = max(most, len(q.Ranges))
		var rows []Row
		var done []int64
		for i := range int64(100) {
			rows = append(rows, Row{Position: at + 3*i})
			done = append(done, at+3*i-300) // one batch is on its way
		}
		p.seen(q, rows)
		p.remove(done)
		if g := p.gaps.all; g[len(g)-1].Last != at+296 {
			t.Fatalf("the last gap is %+v after a row at %d", g[len(g)-1], at+297)
		}
	}
	if most > 400 {
		t.Errorf("%d ranges in one query", most)
	}
}

// Whatever is skipped and filled, every position that is missing and young
// enough lies in a gap; the gaps are in order, and not more than allowed.
func TestGapsLeaveNothingOut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1000, 0)
		p := newPositions(func() time.Time { return now })
		limit := rapid.IntRange(1, 6).Draw(t, "most")
		p.gaps = newGaps(limit)
		missing := map[int64]time.Time{} // since when
		high := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"a row above": func(t *rapid.T) {
				row := high + rapid.Int64Range(1, 4).Draw(t, "step")
				for at := high + 1; at < row; at++ {
					missing[at] = now
				}
				high = row
				p.seen(Query{Limit: 10, RangeLimit: 10, After: row - 1}, []Row{{Position: row}})
			},
			"a row in a gap": func(t *rapid.T) {
				for at := range missing {
					p.seen(Query{RangeLimit: 10, Limit: 10, After: high}, []Row{{Position: at}})
					delete(missing, at)
					return
				}
			},
			"some are removed": func(t *rapid.T) {
				for at := range p.taken {
					if rapid.Bool().Draw(t, "it") {
						p.remove([]int64{at})
					}
				}
			},
			"time passes": func(*rapid.T) { now = now.Add(gapTTL / 5) },
			"": func(t *rapid.T) {
				p.gaps.expire(now)
				all := p.gaps.ranges()
				if len(all) > limit {
					t.Fatalf("%d gaps, more than %d", len(all), limit)
				}
				for at, since := range missing {
					if now.Sub(since) <= gapTTL && !slices.ContainsFunc(all, func(r Range) bool { return r.First <= at && at <= r.Last }) {
						t.Fatalf("%d is in none of %v", at, all)
					}
				}
				for i, r := range all {
					if r.First > r.Last || i > 0 && all[i-1].Last >= r.First {
						t.Fatalf("not in order: %v", all)
					}
				}
			},
		})
	})
}
