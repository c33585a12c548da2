package relay

import (
	"context"
	"fmt"
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
	l.status.sent(l.window.oldest())
	l.cfg.Broker.Publish(ctx, ms, done)
	return nil
}

// completed takes up the plans that the broker holds.
func (l *leader) completed() []*inflight {
	completed := l.window.completed()
	if len(completed) == 0 {
		return nil
	}
	l.backoff.reset()
	var published, repeated uint64
	for _, p := range completed {
		published += uint64(len(p.messages))
		if l.mayRepeat(p) {
			repeated += uint64(len(p.messages))
		}
	}
	oldest := l.window.oldest()
	l.status.acknowledged(len(l.window.plans) > 0, oldest)
	l.status.update(func(s *Stats) {
		s.Published += published
		s.Repeated += repeated
		s.InFlight = l.window.rows
	})
	return completed
}

// tell brings Stats up to date after rows were taken up or set aside.
func (l *leader) tell(setAside int) {
	l.status.update(func(s *Stats) {
		s.SetAside += uint64(setAside)
		s.Held = l.holds.number()
		s.InFlight = l.window.rows
	})
}

// mayRepeat tells whether the broker may have the plan already.
func (l *leader) mayRepeat(p *inflight) bool {
	return p.again || p.repeated || p.id != 0 && p.id <= l.recovered
}

func (l *leader) batchOf(p *inflight) Batch {
	b := Batch{Source: l.cfg.Source.Name(), Rows: len(p.messages), Bytes: p.bytes,
		Repeated: l.mayRepeat(p), Oldest: p.messages[0].Time}
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
	l.status.sent(l.window.oldest())
	l.cfg.Broker.Publish(publishing, ms, done)
	return nil
}

// warnUnfinished tells people of what the broker has not acknowledged.
func (l *leader) warnUnfinished() {
	if n := len(l.window.plans); n > 0 {
		l.cfg.Logger.Warn("relay stops before the broker has acknowledged everything; the next relay publishes it again",
			"source", l.cfg.Source.Name(), "plans", n)
	}
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
