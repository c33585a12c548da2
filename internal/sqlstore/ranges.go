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
