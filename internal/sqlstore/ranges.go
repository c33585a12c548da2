package sqlstore

import (
	"slices"

	"tidings.example/relay"
)

// Runs returns positions as ranges of consecutive ones, in order. Nothing that
// is not in positions is in a range.
func Runs(positions []int64) []relay.Range {
	if !slices.IsSorted(positions) {
		positions = slices.Sorted(slices.Values(positions))
	}
	var runs []relay.Range
	for _, p := range positions {
		if n := len(runs); n > 0 && (p == runs[n-1].Last || p == runs[n-1].Last+1) {
			runs[n-1].Last = p
			continue
		}
		runs = append(runs, relay.Range{First: p, Last: p})
	}
	return runs
}

// PositionRanges returns the positions above 0 of a set. Below are only those
// that somebody chose, perhaps after the set had passed them: whoever removes what
// is in a set leaves them alone.
func PositionRanges(set *relay.PositionSet) []relay.Range {
	if set.High < 1 {
		return nil
	}
	return Without([]relay.Range{{First: 1, Last: set.High}}, set.Gaps)
}

// Without returns what is in a and not in b. Both are in order and do not
// overlap, and so is what is returned.
func Without(a, b []relay.Range) []relay.Range {
	var rest []relay.Range
	for _, r := range a {
		for len(b) > 0 && b[0].Last < r.First {
			b = b[1:]
		}
		for _, hole := range b {
			if hole.First > r.Last {
				break
			}
			if hole.First > r.First {
				rest = append(rest, relay.Range{First: r.First, Last: hole.First - 1})
			}
			r.First = hole.Last + 1
		}
		if r.First <= r.Last {
			rest = append(rest, r)
		}
	}
	return rest
}

// Count returns how many positions the ranges have.
func Count(ranges []relay.Range) (n int64) {
	for _, r := range ranges {
		n += r.Last - r.First + 1
	}
	return n
}
