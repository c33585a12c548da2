package relay

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestPositionSetSurvivesEncoding(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := PositionSet{High: rapid.Int64().Draw(t, "high")}
		edges := rapid.SliceOfNDistinct(rapid.Int64Max(max(s.High, lowestPosition+2)-1), 0, 20, rapid.ID).Draw(t, "edges")
		slices.Sort(edges)
		for i := 0; i+1 < len(edges); i += 2 {
			if n := len(s.Gaps); edges[i+1] >= s.High || n > 0 && s.Gaps[n-1].Last+1 >= edges[i] {
				continue
			}
			s.Gaps = append(s.Gaps, Range{edges[i], edges[i+1]})
		}
		got, err := DecodePositionSet(s.Encode())
		if err != nil || got.High != s.High || !slices.Equal(got.Gaps, s.Gaps) {
			t.Fatalf("%+v became %+v, %v", s, got, err)
		}
		for _, gap := range s.Gaps {
			for _, p := range []int64{gap.First, gap.Last} {
				if got.Has(p) {
					t.Fatalf("%d is in %+v", p, got)
				}
			}
			if !got.Has(gap.Last + 1) {
				t.Fatalf("%d is not in %+v", gap.Last+1, got)
			}
		}
		if !got.Has(s.High) || s.High < 1<<62 && got.Has(s.High+1) {
			t.Fatalf("%d is not the highest of %+v", s.High, got)
		}
	})
}

func FuzzDecodePositionSet(f *testing.F) {
	some := PositionSet{High: 100, Gaps: []Range{{1, 3}, {50, 50}, {98, 99}}}
	f.Add(some.Encode())
	f.Add([]byte{})
	f.Add([]byte{1, 0xc8, 1, 1, 5, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodePositionSet(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%v does not match ErrCorrupt", err)
			}
			return
		}
		again, err := DecodePositionSet(s.Encode())
		if err != nil || again.High != s.High || !slices.Equal(again.Gaps, s.Gaps) {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
	})
}
