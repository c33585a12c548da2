package relay

import (
	"context"
	"slices"
	"sync"
	"time"

	"tidings.example"
)

// window holds the plans that were committed and are not removed yet, in order.
// Only done, called back by the publisher, comes from other goroutines.
//
// It is open while plans are handed over one after the other, without waiting
// for acknowledgements. The first failure shuts it: its context is done before
// the publisher can take another message, so that nothing overtakes what
// failed, however close the next call of Publish is. It is opened again when
// everything was published again.
type window struct {
	plans    []*inflight
	rows     int
	bytes    int
	progress func() // called now and then while messages are acknowledged

	mu          sync.Mutex
	ctx         context.Context // of what is handed over while open
	shut        context.CancelFunc
	outstanding int   // handed to the publisher, done not called
	failure     error // the first one since messages were last handed over again
	trouble     bool  // from the first failure until the window is opened
	changed     chan struct{}
}

// inflight is one plan on its way, or one piece of the log.
type inflight struct {
	id        int64   // 0 for a piece of the log
	positions []int64 // of a plan
	piece     piece   // of the log
	messages  []*tidings.Message
	bytes     int
	again     bool   // some of it was handed over for the second time
	repeated  bool   // an earlier relay has published it
	acked     []bool // guarded by window.mu
	missing   int    // not acked yet; guarded by window.mu
}

func newWindow(progress func()) *window {
	return &window{changed: make(chan struct{}, 1), progress: progress}
}

// open lets plans be handed over, for as long as ctx lives.
func (w *window) open(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx, w.shut = context.WithCancel(ctx)
	w.trouble = false
}

func (w *window) add(p *inflight) {
	p.acked = make([]bool, len(p.messages))
	p.missing = len(p.messages)
	w.plans = append(w.plans, p)
	w.rows += len(p.messages)
	w.bytes += p.bytes
}

// hand returns what to call Publish with for a plan that was just added; ok is
// false while it has to wait for earlier ones.
func (w *window) hand(p *inflight) (ctx context.Context, ms []*tidings.Message, done func(i int, err error), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trouble {
		return nil, nil, nil, false
	}
	w.outstanding += len(p.messages)
	return w.ctx, p.messages, func(i int, err error) { w.done(p, i, err) }, true
}

// again returns all messages that are not acknowledged, in order, to be
// published by one call. The failure is forgotten.
func (w *window) again() ([]*tidings.Message, func(i int, err error)) {
	type place struct {
		plan *inflight
		i    int
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var ms []*tidings.Message
	var at []place
	for _, p := range w.plans {
		for i, acked := range p.acked {
			if !acked {
				ms, at = append(ms, p.messages[i]), append(at, place{p, i})
				p.again = true
			}
		}
	}
	w.failure = nil
	w.outstanding += len(ms)
	return ms, func(i int, err error) { w.done(at[i].plan, at[i].i, err) }
}

func (w *window) done(p *inflight, i int, err error) {
	w.mu.Lock()
	w.outstanding--
	switch {
	case err != nil:
		if w.failure == nil {
			w.failure = err
		}
		w.trouble = true
		w.shut() // before done returns: see the publisher's contract
	case !p.acked[i]:
		p.acked[i] = true
		p.missing--
	}
	wake := w.outstanding == 0 || p.missing == 0 || w.failure != nil
	moved := err == nil && (p.missing%16 == 0 || w.outstanding < 16) // not each time: it looks at the clock
	w.mu.Unlock()
	if moved {
		w.progress()
	}
	if wake {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

// troubled tells whether something has failed since the window was opened.
func (w *window) troubled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trouble
}

// state returns the first failure since messages were last handed over again,
// and whether nothing is outstanding any more.
func (w *window) state() (failure error, settled bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failure, w.outstanding == 0
}

// wait returns when the state has changed, after d, or when ctx is done.
func (w *window) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-w.changed:
	case <-timer.C:
	}
}

// completed takes the plans off the front whose messages are all acknowledged.
// Plans complete in order, because counters do.
func (w *window) completed() []*inflight {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for n < len(w.plans) && w.plans[n].missing == 0 {
		w.rows -= len(w.plans[n].messages)
		w.bytes -= w.plans[n].bytes
		n++
	}
	front := slices.Clone(w.plans[:n])
	w.plans = slices.Delete(w.plans, 0, n)
	return front
}

// oldest returns when the first message of those on their way was made, or zero.
func (w *window) oldest() time.Time {
	for _, p := range w.plans {
		if len(p.messages) > 0 {
			return p.messages[0].Time
		}
	}
	return time.Time{}
}
