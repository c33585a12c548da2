package kafka

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A queue holds messages until the pump sends them, a wave at a time.
type queue struct {
	mu      sync.Mutex
	waiting []*outgoing
	// wave is what the pump is sending; cancel gives it up.
	wave   []*outgoing
	cancel context.CancelFunc
	closed bool
	// more has a value when there may be something to do.
	more chan struct{}
}

// put queues a message. It is called under the lock of the message's topic.
func (q *queue) put(o *outgoing) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return kgo.ErrClientClosed
	case o.call.aborted.Load():
		return o.call.ctx.Err() // seen here, or abort finds the message
	}
	o.call.pending.Add(1)
	o.call.using.Add(1)
	q.waiting = append(q.waiting, o)
	q.wake()
	return nil
}

func (q *queue) wake() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// next waits for messages and makes them the wave; ctx is what to send them
// with. ok is false when the queue is closed.
func (q *queue) next() (ctx context.Context, wave []*outgoing, ok bool) {
	for range q.more {
		q.mu.Lock()
		closed := q.closed
		if !closed && len(q.waiting) > 0 {
			q.begin()
			ctx, q.cancel = context.WithCancel(context.Background())
			wave = q.wave
		}
		q.mu.Unlock()
		if closed || wave != nil {
			return ctx, wave, !closed
		}
	}
	return nil, nil, false
}

// begin moves what waits into the wave. Of a topic that the client library does
// not know yet only one message goes: while it learns the partitions it would
// send what it has got so far, and a wave must not be sent in parts.
func (q *queue) begin() {
	known := true
	for _, o := range q.waiting {
		if o.topic.stale.Load() {
			o.topic.introduced = false
		}
		known = known && o.topic.introduced
	}
	if known {
		q.wave, q.waiting = q.waiting, q.wave
		return
	}
	var later []*outgoing
	met := map[*topic]bool{}
	for _, o := range q.waiting {
		if o.topic.introduced || !met[o.topic] {
			met[o.topic] = true
			q.wave = append(q.wave, o)
		} else {
			later = append(later, o)
		}
	}
	q.waiting = later
}

// end is called when every message of the wave is reported.
func (q *queue) end() {
	q.mu.Lock()
	q.cancel()
	over := q.over()
	clear(q.wave)
	q.wave = q.wave[:0]
	if len(q.waiting) > 0 {
		q.wake()
	}
	q.mu.Unlock()
	for _, c := range over {
		c.memory.recycle()
	}
}

// over returns the calls that have nothing more to do with waves, nor with Publish.
func (q *queue) over() (over []*call) {
	for from := 0; from < len(q.wave); {
		c, to := q.wave[from].call, from+1
		for to < len(q.wave) && q.wave[to].call == c {
			to++
		}
		if c.unused(to - from) {
			over = append(over, c)
		}
		from = to
	}
	return over
}

// abort gives up what a call has on its way, because its context is done. What
// waits in the topics that it has something in fails with it.
func (q *queue) abort(c *call) {
	q.mu.Lock()
	gone := map[*topic]bool{}
	for _, o := range q.waiting {
		if o.call == c {
			gone[o.topic] = true
		}
	}
	for _, o := range q.wave {
		if o.call == c && !o.reported.Load() {
			gone[o.topic] = true
			q.cancel()
		}
	}
	q.mu.Unlock()
	if len(gone) == 0 {
		return
	}
	for t := range gone {
		t.fail(errInterrupted, &c.b.failures)
	}
	q.sweep(gone)
}

// sweep reports what waits in topics that have failed.
func (q *queue) sweep(failed map[*topic]bool) {
	q.mu.Lock()
	var swept []*outgoing
	kept := q.waiting[:0]
	for _, o := range q.waiting {
		if failed[o.topic] {
			swept = append(swept, o)
		} else {
			kept = append(kept, o)
		}
	}
	clear(q.waiting[len(kept):])
	q.waiting = kept
	q.mu.Unlock()
	for _, o := range swept {
		o.report(errFollows)
	}
}

// close makes next return, and returns what was waiting.
func (q *queue) close() []*outgoing {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	left := q.waiting
	q.waiting = nil
	q.wake()
	return left
}
