package audit

import (
	"testing"

	"pgregory.net/rapid"
)

func setOf(s Spans) map[uint64]bool {
	set := map[uint64]bool{}
	for _, span := range s {
		for n := span.First; n <= span.Last; n++ {
			set[n] = true
		}
	}
	return set
}

func wellFormed(t *rapid.T, s Spans) {
	for i, span := range s {
		if span.First > span.Last || i > 0 && s[i-1].Last+1 >= span.First {
			t.Fatalf("%v is not in order, or touches", s)
		}
	}
}

// TestSpans compares intervals with plain sets.
func TestSpans(t *testing.T) {
	t.Parallel()
	draw := func(t *rapid.T, name string) (s Spans, set map[uint64]bool) {
		set = map[uint64]bool{}
		highest := uint64(0)
		for _, n := range rapid.SliceOfN(rapid.Uint64Range(1, 30), 0, 40).Draw(t, name) {
			fresh, late := s.Add(n)
			if fresh == set[n] || late != (fresh && n < highest) {
				t.Fatalf("%d in %v is fresh=%v, late=%v", n, s, fresh, late)
			}
			set[n], highest = true, max(highest, n)
			wellFormed(t, s)
		}
		return s, set
	}
	rapid.Check(t, func(t *rapid.T) {
		a, inA := draw(t, "a")
		b, inB := draw(t, "b")
		without, within := a.Without(b), a.Within(b)
		wellFormed(t, without)
		wellFormed(t, within)
		only, both := setOf(without), setOf(within)
		for n := uint64(0); n <= 31; n++ {
			if a.Has(n) != inA[n] || only[n] != (inA[n] && !inB[n]) || both[n] != (inA[n] && inB[n]) {
				t.Fatalf("%d: a=%v b=%v without=%v within=%v", n, a, b, without, within)
			}
		}
		if a.Count() != uint64(len(inA)) {
			t.Fatalf("%v counts %d, not %d", a, a.Count(), len(inA))
		}
	})
}
