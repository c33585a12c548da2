package relay

import (
	"slices"
	"sync"

	"tidings.example"
)

// window holds the plans that were committed and are not removed yet, in order.
// Only done, called back by the publisher, comes from other goroutines.
type window struct {
	plans []*inflight
	rows  int

	mu          sync.Mutex
	outstanding int   // handed to the publisher, done not called
	failure     error // the first one since the last reset
	changed     chan struct{}
}

// inflight is one plan on its way.
type inflight struct {
	id        int64
	positions []int64
	messages  []*tidings.Message
	bytes     int
	acked     []bool // guarded by window.mu
	missing   int    // not acked yet; guarded by window.mu
}

func newWindow() *window {
	return &window{changed: make(chan struct{}, 1)}
}

func (w *window) add(p *inflight) {
	p.acked = make([]bool, len(p.messages))
	p.missing = len(p.messages)
	w.plans = append(w.plans, p)
	w.rows += len(p.messages)
}

// unsent returns the messages of p that the broker has not acknowledged, and a
// function to call for each with its outcome.
func (w *window) unsent(p *inflight) ([]*tidings.Message, func(i int, err error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ms := p.messages
	index := func(i int) int { return i }
	if p.missing < len(p.messages) {
		ms = make([]*tidings.Message, 0, p.missing)
		at := make([]int, 0, p.missing)
		for i, acked := range p.acked {
			if !acked {
				ms, at = append(ms, p.messages[i]), append(at, i)
			}
		}
		index = func(i int) int { return at[i] }
	}
	w.outstanding += len(ms)
	return ms, func(i int, err error) { w.done(p, index(i), err) }
}

func (w *window) done(p *inflight, i int, err error) {
	w.mu.Lock()
	w.outstanding--
	if err != nil {
		if w.failure == nil {
			w.failure = err
		}
	} else if !p.acked[i] {
		p.acked[i] = true
		p.missing--
	}
	wake := w.outstanding == 0 || p.missing == 0 || w.failure != nil
	w.mu.Unlock()
	if wake {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

// failed returns the first failure since the last reset, and whether nothing is
// outstanding any more, so that publishing can start again.
func (w *window) failed() (err error, settled bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failure, w.outstanding == 0
}

func (w *window) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failure = nil
}

// completed takes the plans off the front whose messages are all acknowledged.
// Plans complete in order, because counters do.
func (w *window) completed() []*inflight {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for n < len(w.plans) && w.plans[n].missing == 0 {
		w.rows -= len(w.plans[n].messages)
		n++
	}
	front := slices.Clone(w.plans[:n])
	w.plans = slices.Delete(w.plans, 0, n)
	return front
}
