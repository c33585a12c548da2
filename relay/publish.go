package relay

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// publish hands a committed plan over. After a failure nothing is handed over
// until everything before has been published again: the plan waits in the
// window for that. The lease may have run out while the plan was committed;
// the plan is then the next leader's.
func (l *leader) publish(publishing context.Context, p *inflight) error {
	if err := l.lease.check(); err != nil {
		return err
	}
	ctx, ms, done, ok := l.window.hand(p)
	if !ok {
		return nil
	}
	l.patience = removeDelay
	l.status.sent()
	l.cfg.Broker.Publish(ctx, ms, done)
	return nil
}

// collect takes up the plans that the broker holds.
func (l *leader) collect() {
	completed := l.window.completed()
	if len(completed) == 0 {
		return
	}
	l.backoff.reset()
	l.patience = removeDelay
	if l.done.touched == nil {
		l.done.touched, l.done.since = map[string]bool{}, time.Now()
	}
	var published, repeated uint64
	for _, p := range completed {
		l.numbering.complete(p.messages, l.done.touched)
		l.done.positions = append(l.done.positions, p.positions...)
		l.done.plans = append(l.done.plans, p.id)
		b := l.batchOf(p)
		l.done.batches = append(l.done.batches, b)
		published += uint64(b.Rows)
		if b.Repeated {
			repeated += uint64(b.Rows)
		}
	}
	l.status.acknowledged(len(l.window.plans) > 0)
	l.status.update(func(s *Stats) {
		s.Published += published
		s.Repeated += repeated
		s.InFlight = l.window.rows
	})
}

func (l *leader) batchOf(p *inflight) Batch {
	b := Batch{Source: l.cfg.Source.Name(), Rows: len(p.messages), Bytes: p.bytes,
		Repeated: p.again || p.id <= l.recovered, Oldest: p.messages[0].Time}
	for _, m := range p.messages {
		if m.Time.Before(b.Oldest) {
			b.Oldest = m.Time
		}
	}
	return b
}

// overcome publishes again, after a failure of the broker, what it has not
// acknowledged, in order, until nothing fails. Each time everything goes in one
// call, of which other messages arrive though one keeps failing; nothing else
// is handed over meanwhile.
func (l *leader) overcome(active, publishing context.Context) error {
	failure, settled := l.window.state()
	if failure != nil {
		l.status.trouble(fmt.Errorf("publish: %w", failure))
	}
	l.collect()
	switch {
	case !settled:
		l.window.wait(active, l.cfg.Idle)
		return nil
	case failure == nil:
		l.status.trouble(nil)
		l.window.open(publishing)
		return nil
	}
	pause := l.backoff.next()
	l.cfg.Logger.Warn("publishing failed, trying again", "source", l.cfg.Source.Name(), "error", failure, "after", pause)
	sleep(active, pause)
	if active.Err() != nil {
		return nil
	}
	if err := l.lease.check(); err != nil {
		return err
	}
	ms, done := l.window.again()
	l.status.sent()
	l.cfg.Broker.Publish(publishing, ms, done)
	return nil
}

// drain waits for what is on its way, and records what has arrived. It ends
// when the time to publish does, since the publisher then gives up.
func (l *leader) drain(work context.Context) error {
	l.settle()
	l.collect()
	if n := len(l.window.plans); n > 0 {
		l.cfg.Logger.Warn("relay stops before the broker has acknowledged everything; the next relay publishes it again",
			"source", l.cfg.Source.Name(), "plans", n)
	}
	if len(l.done.plans) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(work, l.cfg.LeaseTTL)
	defer cancel()
	if err := l.commit(ctx, Change{}, nil); err != nil && !errors.Is(err, ErrFenced) {
		return err
	}
	return nil
}

// settle waits until the publisher has no message of this leader left.
func (l *leader) settle() {
	for {
		if _, settled := l.window.state(); settled {
			return
		}
		<-l.window.changed
	}
}
