package natsjs

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// failItem reports an item that is on its way as failed, and all behind it.
func (p *publisher) failItem(token uint64, err error) {
	p.mu.Lock()
	it := p.sent[token]
	if it == nil {
		p.mu.Unlock()
		return
	}
	p.failFrom(p.lanes[it.lane], it, err)
}

// failFrom reports an item, and all behind it in its queue, as failed. Nothing
// that was handed over before the last of these reports may be stored: a caller
// that cannot know of the failure yet would see it overtake the message that
// failed. So what comes meanwhile goes to q.late, and fails too.
//
// p.mu is held, and released.
func (p *publisher) failFrom(q *queue, first *item, err error) {
	at := slices.Index(q.items, first)
	if at < 0 {
		p.mu.Unlock()
		return
	}
	cut := slices.Clone(q.items[at:])
	q.items = q.items[:at]
	q.failing++
	delete(p.sent, first.token)
	behind := fmt.Errorf("an earlier message of the same key failed: %w", err)
	for len(cut) > 0 {
		p.mu.Unlock()
		for _, it := range cut {
			if it == first {
				p.report(it, err)
			} else {
				p.report(it, behind)
			}
		}
		p.mu.Lock()
		cut, q.late = q.late, nil
	}
	// Calls that began before the report was made must not go on with the lane.
	for c := range p.calls {
		c.fail(first.lane, behind)
	}
	q.failing--
	p.tidy(first.lane, q)
	p.mu.Unlock()
}

// tidy removes a queue that is not needed any more. p.mu is held.
func (p *publisher) tidy(l lane, q *queue) {
	if q.failing == 0 && len(q.items) == 0 {
		delete(p.lanes, l)
	}
}

// expire fails what a call still has open, when its context is done.
func (p *publisher) expire(c *call) {
	type place struct {
		q  *queue
		it *item
	}
	var first []place
	p.mu.Lock()
	for _, q := range p.lanes {
		if i := slices.IndexFunc(q.items, func(it *item) bool { return it.call == c }); i >= 0 {
			first = append(first, place{q, q.items[i]})
		}
	}
	p.mu.Unlock()
	for _, f := range first {
		p.mu.Lock()
		p.failFrom(f.q, f.it, fmt.Errorf("publish: %w", c.ctx.Err()))
	}
}

// lost makes everything that is on its way due: the connection it went out on
// is gone, and the acknowledgements with it.
func (p *publisher) lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, it := range p.sent {
		it.due = now
	}
}

// hurry makes tend look now.
func (p *publisher) hurry() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// tend sends overdue messages again. It sleeps while none is on its way.
func (p *publisher) tend() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var ticks <-chan time.Time
		if p.resend() {
			timer.Reset(tick)
			ticks = timer.C
		}
		select {
		case <-ticks:
		case <-p.wake:
		case <-p.quit:
			return
		}
	}
}

// resend sends what is due. It reports whether anything is on its way.
func (p *publisher) resend() bool {
	var due []*item
	now := time.Now()
	connected := p.conn.Status() == nats.CONNECTED
	p.mu.Lock()
	some := len(p.sent) > 0
	for _, it := range p.sent {
		if connected && !it.due.After(now) {
			it.due = now.Add(ackTime)
			due = append(due, it)
		}
	}
	p.mu.Unlock()
	for _, it := range due {
		if err := p.denied(it.msg.Subject, it.began); err != nil {
			p.failItem(it.token, fmt.Errorf("publish: %w", err))
			continue
		}
		p.send(it)
	}
	return some
}

// stop fails everything that is left and closes the connection.
func (p *publisher) stop() {
	close(p.quit)
	p.running.Wait()
	p.mu.Lock()
	p.closed = true
	queues := slices.Collect(maps.Values(p.lanes))
	p.mu.Unlock()
	for _, q := range queues {
		p.mu.Lock()
		if len(q.items) == 0 {
			p.mu.Unlock()
			continue
		}
		p.failFrom(q, q.items[0], ErrClosed)
	}
	p.conn.Close()
}
