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
	slices.Sort(b.committed)
	return answer(q, b.committed, func(p int64) Row { return Row{Position: p} })
}

// Whatever the order in which transactions commit, each row is taken up once,
// and never after a row that was committed later and has a higher position.
func TestPositionsTakesEveryRowOnceInCommitOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1000, 0)
		p := newPositions(func() time.Time { return now })
		p.gaps = newGaps(rapid.SampledFrom([]int{1, 2, 3, maxGaps}).Draw(t, "most gaps"))
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
		p.seen(Query{RangeLimit: 10, After: p.high, Limit: 10}, rows)
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
	if q.Limit != 0 || !slices.Equal(q.Ranges, []Range{{lowest, 10}, {12, 12}}) {
		t.Fatalf("the query is %+v", q)
	}
	if fresh := p.seen(q, []Row{{Position: 10}}); len(fresh) != 1 {
		t.Fatalf("a row that was put back is not new: %v", fresh)
	}
	if q = p.next(1, 1); q.Limit != 0 || !slices.Equal(q.Ranges, []Range{{lowest, 9}, {12, 12}}) {
		t.Fatalf("the sweep does not go on: %+v", q)
	}
	p.seen(q, nil)
	if q = p.next(1, 1); q.Limit == 0 {
		t.Error("the sweep does not end")
	}
}

// Rows on their way that a new leader finds do not keep it from reading on.
func TestPositionsReadsOnBehindRecoveredRows(t *testing.T) {
	t.Parallel()
	p := newPositions(time.Now)
	p.take([]int64{3, 4})
	b := &table{committed: []int64{3, 4, 5, 6}}
	var got []int64
	for range 2 {
		q := p.next(2, 1000)
		for _, r := range p.seen(q, b.answer(q)) {
			got = append(got, r.Position)
		}
	}
	if !slices.Equal(got, []int64{5, 6}) {
		t.Errorf("took %v", got)
	}
}

// Somebody may have inserted a row with a position of his own.
func TestPositionsFindsRowsBelowOne(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	p := newPositions(func() time.Time { return now })
	b := &table{committed: []int64{-7, 0, 1}}
	taken := map[int64]bool{}
	for range 4 {
		q := p.next(10, 1000)
		for _, r := range p.seen(q, b.answer(q)) {
			taken[r.Position] = true
		}
		now = now.Add(sweepInterval)
	}
	if len(taken) != 3 {
		t.Errorf("took %v", taken)
	}
}

// Rows in gaps and rows that were put back are read in pieces that memory can
// hold, as all others are.
func TestPositionsBoundsBytesOfRanges(t *testing.T) {
	t.Parallel()
	const limit, bytes, payload = 2000, 1 << 20, 900 << 10
	p := newPositions(time.Now)
	p.seen(Query{Limit: limit, RangeLimit: limit}, []Row{{Position: 10_000}})
	p.sweep()
	big := Row{Message: message("big", "k")}
	big.Message.Payload = make([]byte, payload)
	b := make([]int64, 300)
	for i := range b {
		b[i] = int64(i + 1)
	}
	most, total := 0, 0
	for total < len(b) {
		q := p.next(limit, bytes)
		rows := answer(q, b[total:], func(at int64) Row { r := big; r.Position = at; return r })
		if len(rows) == 0 {
			t.Fatalf("nothing is found with %+v after %d rows", q, total)
		}
		most, total = max(most, len(rows)), total+len(p.seen(q, rows))
	}
	if most*payload > 64*bytes {
		t.Errorf("%d rows of %d bytes in one answer", most, payload)
	}
}
