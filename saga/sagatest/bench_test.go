package sagatest_test

import (
	"testing"
)

// BenchmarkExplore measures a history.
func BenchmarkExplore(b *testing.B) {
	e := exploration()
	histories := 0
	for b.Loop() {
		r, v, err := e.Search()
		if v != nil || err != nil {
			b.Fatal(v, err)
		}
		histories += r.Histories
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(histories), "µs/history")
}
