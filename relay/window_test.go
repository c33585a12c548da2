package relay

import (
	"context"
	"errors"
	"sync"
	"testing"

	"tidings.example"
)

func newPlan(id int64, n int) *inflight {
	p := &inflight{id: id}
	for range n {
		m := message(tidings.NewID(), "k")
		p.messages = append(p.messages, &m)
	}
	return p
}

// The publisher must see that the window is shut when done returns: it takes
// the next message right then.
func TestWindowIsShutBeforeDoneReturns(t *testing.T) {
	t.Parallel()
	w := newWindow(func() {})
	w.open(t.Context())
	p, q := newPlan(1, 2), newPlan(2, 1)
	w.add(p)
	ctx, _, done, ok := w.hand(p)
	if !ok || ctx.Err() != nil {
		t.Fatalf("an open window takes a plan: %v, %v", ok, ctx.Err())
	}
	done(0, errors.New("no leader"))
	if ctx.Err() == nil || !w.troubled() {
		t.Error("the window is open after a failure")
	}
	w.add(q)
	if _, _, _, ok := w.hand(q); ok {
		t.Error("a plan is handed over after a failure")
	}
	if failure, settled := w.state(); failure == nil || settled {
		t.Errorf("failure %v, settled %v with a message outstanding", failure, settled)
	}
	done(1, nil)
	if _, settled := w.state(); !settled {
		t.Error("not settled when nothing is outstanding")
	}

	ms, again := w.again()
	if len(ms) != 2 || ms[0] != p.messages[0] || ms[1] != q.messages[0] {
		t.Fatalf("%d messages are published again", len(ms))
	}
	again(1, nil)
	if len(w.completed()) != 0 {
		t.Error("a plan completes before an earlier one")
	}
	again(0, nil)
	if !w.troubled() {
		t.Error("the window opens by itself")
	}
	w.open(t.Context())
	if done := w.completed(); len(done) != 2 || done[0] != p || done[1] != q || w.rows != 0 {
		t.Errorf("completed %v, %d rows are left", done, w.rows)
	}
}

// Acknowledgements come from many goroutines while plans are handed over.
func TestWindowCountsConcurrentAcknowledgements(t *testing.T) {
	t.Parallel()
	w := newWindow(func() {})
	w.open(t.Context())
	var acks sync.WaitGroup
	for id := range int64(10) {
		p := newPlan(id, 300)
		w.add(p)
		_, ms, done, _ := w.hand(p)
		for i := range ms {
			acks.Go(func() { done(i, nil) })
		}
	}
	acks.Wait()
	if failure, settled := w.state(); failure != nil || !settled {
		t.Errorf("failure %v, settled %v", failure, settled)
	}
	if done := w.completed(); len(done) != 10 || w.rows != 0 {
		t.Errorf("%d plans are complete, %d rows are left", len(done), w.rows)
	}
	w.wait(context.Background(), 0) // there was a wake-up; it is not needed twice
}
