package relay

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// table is an outbox as a reader sees it: rows that are committed, and rows
// whose positions were handed out but whose transactions are still open.
type table struct {
	next      int64
	committed []int64
	open      []int64
}

func (b *table) answer(q Query) []Row {
	var rows []Row
	inRanges, above := 0, 0
	slices.Sort(b.committed)
	for _, p := range b.committed {
		in := func(r Range) bool { return r.First <= p && p <= r.Last }
		switch {
		case slices.ContainsFunc(q.Ranges, in):
			if inRanges++; q.RangeLimit == 0 || inRanges <= q.RangeLimit {
				rows = append(rows, Row{Position: p})
			}
		case p > q.After && above < q.Limit:
			above++
			rows = append(rows, Row{Position: p})
		}
	}
	return rows
}

// Whatever the order in which transactions commit, each row is taken up once,
// and never after a row that was committed later and has a higher position.
func TestPositionsTakesEveryRowOnceInCommitOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1000, 0)
		p := newPositions(func() time.Time { return now })
		b := &table{next: rapid.Int64Range(0, 3).Draw(t, "first")}
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		var commitOrder, taken []int64
		read := func() {
			q := p.next(limit, 1000)
			for _, r := range p.seen(q, b.answer(q)) {
				taken = append(taken, r.Position)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"open": func(t *rapid.T) {
				b.next += rapid.SampledFrom([]int64{1, 1, 1, 2, 5000}).Draw(t, "step")
				b.open = append(b.open, b.next)
			},
			"commit": func(t *rapid.T) {
				if len(b.open) == 0 {
					return
				}
				i := rapid.IntRange(0, len(b.open)-1).Draw(t, "which")
				b.committed = append(b.committed, b.open[i])
				commitOrder = append(commitOrder, b.open[i])
				b.open = slices.Delete(b.open, i, i+1)
			},
			"rollback": func(t *rapid.T) {
				if len(b.open) > 0 {
					b.open = b.open[1:]
				}
			},
			"read": func(*rapid.T) { read() },
			"remove": func(*rapid.T) {
				if n := len(taken); n > 0 {
					done := taken[n/2:]
					p.remove(done)
					b.committed = slices.DeleteFunc(b.committed, func(x int64) bool { return slices.Contains(done, x) })
				}
			},
			"time passes": func(*rapid.T) { now = now.Add(300 * time.Millisecond) },
		})
		for range 3*len(commitOrder) + 10 {
			now = now.Add(sweepInterval / 2)
			read()
		}
		if len(taken) != len(commitOrder) {
			t.Fatalf("committed %v, taken %v", commitOrder, taken)
		}
		for i, first := range commitOrder {
			for _, second := range commitOrder[i+1:] {
				if first < second && slices.Index(taken, first) > slices.Index(taken, second) {
					t.Fatalf("%d was committed before %d and taken after it: %v", first, second, taken)
				}
			}
		}
	})
}

func TestPositionsGivesGapsUp(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	p := newPositions(func() time.Time { return now })
	read := func(positions ...int64) {
		var rows []Row
		for _, position := range positions {
			rows = append(rows, Row{Position: position})
		}
		p.seen(Query{RangeLimit: 10, Limit: 10}, rows)
	}
	read(1, 5)
	if q := p.next(10, 1); !slices.Equal(q.Ranges, []Range{{2, 4}}) || q.After != 5 {
		t.Errorf("query with a gap is %+v", q)
	}
	read(3)
	if q := p.next(10, 1); !slices.Equal(q.Ranges, []Range{{2, 2}, {4, 4}}) {
		t.Errorf("query after the middle of the gap was filled is %+v", q)
	}
	now = now.Add(gapTTL + time.Second)
	p.nextSweep = now.Add(time.Hour)
	if q := p.next(10, 1); len(q.Ranges) != 0 {
		t.Errorf("query after the gaps ran out is %+v", q)
	}
}

func TestPositionsSweepsWhatWasPutBackBeforeAnythingNew(t *testing.T) {
	t.Parallel()
	p := newPositions(time.Now)
	p.seen(Query{RangeLimit: 5, Limit: 5}, []Row{{Position: 10}, {Position: 11}, {Position: 12}})
	p.remove([]int64{10, 12})
	p.sweep()
	q := p.next(1, 1)
	if q.Limit != 0 || !slices.Equal(q.Ranges, []Range{{1, 10}, {12, 12}}) {
		t.Fatalf("the query is %+v", q)
	}
	if fresh := p.seen(q, []Row{{Position: 10}}); len(fresh) != 1 {
		t.Fatalf("a row that was put back is not new: %v", fresh)
	}
	if q = p.next(1, 1); q.Limit != 0 || !slices.Equal(q.Ranges, []Range{{1, 9}, {12, 12}}) {
		t.Fatalf("the sweep does not go on: %+v", q)
	}
	p.seen(q, nil)
	if q = p.next(1, 1); q.Limit == 0 {
		t.Error("the sweep does not end")
	}
}
