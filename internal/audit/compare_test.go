package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidings.example/admin"
	"tidings.example/broker"
)

func found(r *Report) []string {
	all := []string{}
	for i := range r.Differences {
		all = append(all, short(&r.Differences[i]))
	}
	slices.Sort(all)
	return all
}

func TestCompare(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		world func(w *world)
		want  []string
	}{
		"all agrees":            {func(w *world) { w.publish(0, 1, 2, 3); w.given[0] = 3; w.handle(0, 3) }, nil},
		"nothing at all":        {func(*world) {}, nil},
		"published twice":       {func(w *world) { w.publish(0, 1, 2, 1, 2, 3); w.given[0] = 3; w.handle(0, 3) }, nil},
		"lost in the middle":    {func(w *world) { w.publish(0, 1, 2, 5); w.given[0] = 5 }, []string{"lost 0:3-4"}},
		"lost at the end":       {func(w *world) { w.publish(0, 1, 2); w.given[0] = 4 }, []string{"lost 0:3-4"}},
		"lost at the beginning": {func(w *world) { w.publish(0, 2, 3); w.given[0] = 3 }, []string{"lost 0:1-1"}},
		"a whole lane is lost":  {func(w *world) { w.given[2] = 3 }, []string{"lost 2:1-3"}},
		"aged out": {func(w *world) {
			w.trimmed = true
			w.publish(0, 4, 5)
			w.given[0], w.given[1] = 5, 7
			w.handle(0, 5)
			w.handle(1, 7)
		}, nil},
		"lost behind what has aged out": {func(w *world) { w.trimmed = true; w.publish(0, 4, 6); w.given[0] = 6 }, []string{"lost 0:5-5"}},
		"two messages with one number": {func(w *world) {
			w.publish(0, 1, 2)
			w.records = append(w.records, record(testEpoch, 0, 2, "another"))
			w.given[0] = 2
		}, []string{"conflict 0:2-2"}},
		"two messages with one number, far apart": {func(w *world) {
			for n := range uint64(500) {
				w.publish(0, n+1)
			}
			w.publish(0, 3)
			w.records = append(w.records, record(testEpoch, 0, 2, "another"))
			w.given[0] = 500
		}, []string{"conflict 0:2-2"}},
		"a number that was never given":   {func(w *world) { w.publish(0, 1, 2, 9); w.given[0] = 2 }, []string{"foreign 0:9-9"}},
		"a number of a plan on its way":   {func(w *world) { w.publish(0, 1, 2, 3); w.given[0], w.planned = 2, 1 }, []string{"unfinished 0:3-3"}},
		"more than the plans":             {func(w *world) { w.publish(0, 1, 2, 3, 4); w.given[0], w.planned = 2, 1 }, []string{"foreign 0:3-4"}},
		"no relay has saved a checkpoint": {func(w *world) { w.publish(0, 1, 2); w.given[0], w.reading = 1, "log" }, []string{"unfinished 0:2-2"}},
		"a leading relay has not either":  {func(w *world) { w.publish(0, 1, 2); w.given[0], w.reading, w.led = 1, "log", true }, []string{"foreign 0:2-2"}},
		"an epoch that was never opened": {func(w *world) {
			w.publish(0, 1)
			w.records = append(w.records, record("zombie", 0, 1, "z"))
			w.given[0] = 1
		}, []string{"foreign 0:1-1"}},
		"a former epoch, whose end is not known": {func(w *world) {
			w.epochs = []string{"e0"}
			w.records = append(w.records, record("e0", 0, 1, "a"), record("e0", 0, 2, "b"))
			w.publish(0, 1)
			w.given[0] = 1
			w.handle(0, 1)
			w.lanes = append(w.lanes, admin.HandledLane{Last: 2})
			w.lanes[1].Lane = w.lanes[0].Lane
			w.lanes[1].Lane.Epoch = "e0"
		}, nil},
		"a hole in a former epoch": {func(w *world) {
			w.epochs = []string{"e0"}
			w.records = append(w.records, record("e0", 0, 1, "a"), record("e0", 0, 3, "c"))
		}, []string{"lost 0:2-2"}},
		"out of order": {func(w *world) { w.publish(0, 1, 3, 2, 4); w.given[0] = 4 }, []string{"disorder 0:2-2"}},
		"a key of another lane": {func(w *world) {
			r := record(testEpoch, 0, 1, "a")
			r.Message.Key = keyOf[1]
			w.records = append(w.records, r)
			w.given[0] = 1
		}, []string{"misplaced 0:1-1"}},
		"not handled yet": {func(w *world) { w.publish(0, 1, 2, 3); w.given[0] = 3; w.handle(0, 1) }, []string{"unhandled 0:2-3"}},
		"a lane that is not handled at all": {func(w *world) {
			w.publish(0, 1)
			w.publish(1, 1, 2)
			w.given[0], w.given[1] = 1, 2
			w.handle(0, 1)
		}, []string{"unhandled 1:1-2"}},
		"a hole":                  {func(w *world) { w.publish(0, 1, 2, 3); w.given[0] = 3; w.handle(0, 3, admin.Span{First: 2, Last: 2}) }, []string{"unhandled 0:2-2"}},
		"a hole of what was lost": {func(w *world) { w.publish(0, 1, 3); w.given[0] = 3; w.handle(0, 3, admin.Span{First: 2, Last: 2}) }, []string{"lost 0:2-2"}},
		"handled and never there": {func(w *world) { w.publish(0, 1, 3); w.given[0] = 3; w.handle(0, 4) },
			[]string{"lost 0:2-2", "phantom 0:2-2", "phantom 0:4-4"}},
		"others' messages": {func(w *world) {
			w.publish(0, 1)
			other := record("x", 0, 7, "o")
			other.Message.Source = "another"
			unnumbered := record("", 0, 0, "u")
			w.records = append(w.records, other, unnumbered, broker.Retained{Err: fmt.Errorf("no message")})
			w.given[0] = 1
			w.handle(0, 1)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w world
			test.world(&w)
			r := w.audit()
			if got := found(r); !slices.Equal(got, append([]string{}, test.want...)) {
				t.Errorf("found %q, want %q", got, test.want)
			}
			var counted uint64
			for _, n := range r.Counts {
				counted += n
			}
			var named uint64
			for i := range r.Differences {
				d := &r.Differences[i]
				named += d.Count()
				if (d.Kind == Foreign || d.Kind == Conflict || d.Kind == Unhandled || d.Kind == Disorder || d.Kind == Misplaced) && len(d.IDs) == 0 {
					t.Errorf("%s has no ids", short(d))
				}
			}
			if counted != named {
				t.Errorf("%d numbers are counted, %d named", counted, named)
			}
		})
	}
}

// TestCountsInTheReport: what is no difference is counted.
func TestCountsInTheReport(t *testing.T) {
	t.Parallel()
	w := world{epochs: []string{"e0"}}
	w.records = append(w.records, record("e0", 0, 1, idOf(0, 1)), record("e0", 0, 2, idOf(0, 2)))
	w.publish(0, 1, 2, 3, 3)
	w.given[0] = 3
	w.handle(0, 3)
	c := w.audit().Channels[0]
	if c.EpochRepeats != 2 || c.Repeated != 1 || c.Published != 5 || c.Given != 3 {
		t.Errorf("the report is %+v", c)
	}
}

// TestLongReports: all differences are counted, the first ones named.
func TestLongReports(t *testing.T) {
	t.Parallel()
	var w world
	for n := uint64(2); n <= 2*(MaxDifferences+10); n += 2 {
		w.publish(0, n)
	}
	w.given[0] = 2 * (MaxDifferences + 10)
	r := w.audit()
	if len(r.Differences) != MaxDifferences || r.Omitted != 10 || r.Counts[Lost] != MaxDifferences+10 {
		t.Errorf("%d are named, %d omitted, %d counted", len(r.Differences), r.Omitted, r.Counts[Lost])
	}
}

// TestPlantedDifferencesAreFound: whatever is planted into a history that agrees is
// named, and nothing else is.
func TestPlantedDifferencesAreFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := world{trimmed: rapid.Bool().Draw(t, "trimmed")}
		var want []string
		for lane := range testLanes {
			want = append(want, plant(t, &w, lane)...)
		}
		slices.Sort(want)
		if got := found(w.audit()); strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Fatalf("found %q, want %q", got, want)
		}
	})
}

// plant adds a lane's history, mostly with one thing wrong, and returns what an
// audit must say.
func plant(t *rapid.T, w *world, lane int) []string {
	last := rapid.Uint64Range(3, 200).Draw(t, "last")
	from := uint64(1)
	if w.trimmed {
		from = rapid.Uint64Range(1, last-2).Draw(t, "from")
	}
	// n is neither the first nor the last that the channel holds.
	n := rapid.Uint64Range(from+1, last-1).Draw(t, "n")
	kind := rapid.SampledFrom([]string{"", "lost", "tail", "foreign", "conflict", "disorder", "misplaced", "unhandled", "hole", "phantom"}).Draw(t, "kind")
	w.given[lane] = last
	add := func(number uint64, id string) { w.records = append(w.records, record(testEpoch, lane, number, id)) }
	swapped := uint64(0)
	for i := from; i <= last; i++ {
		number := i
		switch {
		case kind == "lost" && i == n, kind == "tail" && i == last:
			continue
		case kind == "disorder" && i == n:
			number, swapped = i+1, i
		case kind == "disorder" && swapped != 0 && i == swapped+1:
			number = swapped
		}
		add(number, idOf(lane, number))
		if kind == "misplaced" && number == n {
			w.records[len(w.records)-1].Message.Key = keyOf[(lane+1)%testLanes]
		}
		// A relay that was killed publishes the last ones again.
		if kind != "disorder" && kind != "lost" && kind != "misplaced" && rapid.IntRange(0, 30).Draw(t, "again") == 0 {
			for again := max(from, i-min(i, rapid.Uint64Range(0, 100).Draw(t, "back"))); again <= i; again++ {
				add(again, idOf(lane, again))
			}
		}
	}
	one := func(kind Kind, number uint64) []string {
		return []string{short(&Difference{Kind: kind, Lane: LaneID{N: lane}, First: number, Last: number})}
	}
	switch kind {
	case "lost":
		w.handle(lane, last, admin.Span{First: n, Last: n})
		return one(Lost, n)
	case "tail":
		w.handle(lane, last-1)
		return one(Lost, last)
	case "foreign":
		add(last+2, "stranger")
		w.handle(lane, last+2, admin.Span{First: last + 1, Last: last + 1})
		return one(Foreign, last+2)
	case "conflict":
		add(n, "stranger")
		w.handle(lane, last)
		return one(Conflict, n)
	case "unhandled":
		w.handle(lane, last-1)
		return one(Unhandled, last)
	case "hole":
		w.handle(lane, last, admin.Span{First: n, Last: n})
		return one(Unhandled, n)
	case "phantom":
		w.handle(lane, last+1)
		return one(Phantom, last+1)
	}
	w.handle(lane, last)
	switch kind {
	case "disorder":
		return one(Disorder, n)
	case "misplaced":
		return one(Misplaced, n)
	}
	return nil
}
