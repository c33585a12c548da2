package relay

import (
	"testing"

	"pgregory.net/rapid"
)

// The set says what a plain map says, as long as its gaps need no joining; with
// joining it never claims a row that was not added and may still come.
func TestPublishedAgreesWithMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, err := newPublished(nil)
		if err != nil {
			t.Fatal(err)
		}
		p.limit = rapid.IntRange(1, 40).Draw(t, "limit")
		added := map[int64]bool{}
		floor, joined := int64(-100), false
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			at := rapid.Int64Range(-20, 60).Draw(t, "at")
			switch rapid.SampledFrom([]string{"add", "add", "add", "floor", "save"}).Draw(t, "what") {
			case "add":
				before := len(p.set.Gaps)
				p.add(at)
				added[at] = true
				joined = joined || len(p.set.Gaps) < before-1 || before == p.limit
			case "floor":
				p.floor(at)
				floor = max(floor, at)
			case "save":
				limit := p.limit
				if p, err = newPublished(p.encode()); err != nil {
					t.Fatal(err)
				}
				p.limit = limit
			}
			if len(p.set.Gaps) > p.limit {
				t.Fatalf("%d gaps, at most %d are allowed", len(p.set.Gaps), p.limit)
			}
			for i := int64(-30); i < 70; i++ {
				want := added[i] || i <= floor
				if got := p.has(i); got && !want || !got && want && !joined {
					t.Fatalf("%d: in the set %v, in the map %v; %+v", i, got, want, p.set)
				}
			}
		}
	})
}
