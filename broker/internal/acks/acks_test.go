package acks

import (
	"testing"

	"pgregory.net/rapid"
)

func TestPositionFollowsTheFirstOpenDelivery(t *testing.T) {
	t.Parallel()
	var tr Tracker
	if _, ok := tr.Position(); ok {
		t.Fatal("a new tracker has a position")
	}
	for _, p := range []uint64{3, 4, 9, 10} {
		tr.Deliver(p)
	}
	steps := []struct {
		ack  uint64
		news bool
		want uint64
		ok   bool
	}{
		{ack: 4, news: true},
		{ack: 4, news: false},
		{ack: 5, news: false},
		{ack: 10, news: true},
		{ack: 3, news: true, want: 4, ok: true},
		{ack: 3, news: false, want: 4, ok: true},
		{ack: 9, news: true, want: 10, ok: true},
	}
	for i, s := range steps {
		if got := tr.Ack(s.ack); got != s.news {
			t.Fatalf("step %d: Ack(%d) = %v, want %v", i, s.ack, got, s.news)
		}
		got, ok := tr.Position()
		if got != s.want || ok != s.ok {
			t.Fatalf("step %d: position %d, %v; want %d, %v", i, got, ok, s.want, s.ok)
		}
	}
}

// TestAgainstModel compares the tracker with a set of open positions.
func TestAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var tr Tracker
		var last uint64
		var delivered []uint64
		open := map[uint64]bool{}
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			if len(open) == 0 || rapid.Bool().Draw(t, "deliver") {
				last += rapid.Uint64Range(1, 3).Draw(t, "skip")
				tr.Deliver(last)
				delivered = append(delivered, last)
				open[last] = true
			} else {
				p := rapid.SampledFrom(delivered).Draw(t, "ack")
				if news := tr.Ack(p); news != open[p] {
					t.Fatalf("Ack(%d) = %v, want %v", p, news, open[p])
				}
				delete(open, p)
			}
			var want uint64
			ok := false
			for _, p := range delivered {
				if open[p] {
					break
				}
				want, ok = p, true
			}
			if got, gotOK := tr.Position(); got != want || gotOK != ok {
				t.Fatalf("position %d, %v; want %d, %v", got, gotOK, want, ok)
			}
			if got := tr.Outstanding(); got != len(open) {
				t.Fatalf("%d outstanding, want %d", got, len(open))
			}
		}
	})
}
