// Package inboxtest is the property that an inbox must have on every store:
// whatever is delivered, in whatever order, how often, and whichever
// transactions fail, each message that arrives has its effect once.
//
// [Run] lets a model source publish to a model broker, disturbs what is
// delivered (reordered, repeated, dropped, sent again after a crash, a
// process that ends in the middle), makes transactions and handlers fail at
// random, and counts effects in the store. It then plants mistakes that inboxes
// and relays are known for, and demands that the property finds each.
package inboxtest

import (
	"context"
	"testing"

	"pgregory.net/rapid"

	"tidings.example/admin"
	"tidings.example/inbox"
)

// A Subject is a store under test. A run's name is its subscriber's; runs
// share nothing but the database.
type Subject[Tx any] struct {
	Inbox inbox.Storage[Tx]
	// Record adds an effect to a table of the test's own, in tx. Nothing may
	// be unique in the table: an effect that happens twice must show.
	Record func(ctx context.Context, tx Tx, run, effect string) error
	// Recorded returns the committed effects of a run in the order of
	// recording. Of two transactions at the same time either may be first.
	Recorded func(ctx context.Context, run string) ([]string, error)
	// Admin is asked, as by an operator, to retry parked messages.
	Admin admin.Parked
	// Checks is the number of histories to try. Default 100, rapid's own.
	Checks int
}

// Run tests a store. open is called once for each part.
func Run[Tx any](t *testing.T, open func(t *testing.T) Subject[Tx]) {
	t.Run("OncePerMessage", func(t *testing.T) {
		s := open(t)
		done, failed := 0, false
		rapid.Check(t, func(rt *rapid.T) {
			h := histories(true).Draw(rt, "history")
			if done++; s.Checks > 0 && done > s.Checks && !failed {
				return // enough; but what failed is tried again to make it smaller
			}
			if err := check(t.Context(), s, h, mutation[Tx]{}); err != nil {
				failed = true
				rt.Fatalf("%v\n%s", err, h)
			}
		})
	})
	for _, m := range mutations[Tx]() {
		t.Run("Finds/"+m.name, func(t *testing.T) { find(t, open(t), m) })
	}
}

// find tries histories until the property finds the planted mistake.
func find[Tx any](t *testing.T, s Subject[Tx], m mutation[Tx]) {
	const tries = 300
	for seed := range tries {
		h := histories(false).Example(seed)
		if err := check(t.Context(), s, h, m); err != nil {
			t.Logf("found with history %d: %v", seed, err)
			return
		}
	}
	t.Errorf("%d histories have not found it", tries)
}
