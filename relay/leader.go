package relay

import (
	"context"
	"fmt"
	"time"
)

// removeDelay is how long the removal of published rows may wait for a plan to
// be committed with: one transaction then does both.
const removeDelay = 20 * time.Millisecond

// A leader is a relay that holds the lease. One goroutine runs all of it.
type leader struct {
	cfg     *Config
	status  *status
	session Session
	lease   *lease
	backoff *backoff

	positions *positions
	numbering *numbering
	window    *window
	holds     holds
	nextPlan  int64

	// newEpoch, if not empty, says why an epoch is to be opened as soon as
	// nothing is on its way any more; until then no new rows are read.
	newEpoch string
	state    State

	done      finished
	recovered int64         // plans up to this id are from an earlier relay
	more      bool          // the last read was full: there is more to read now
	patience  time.Duration // how long to wait while something is on its way
}

// finished is what was published and waits to be removed from the source.
type finished struct {
	positions []int64
	plans     []int64
	touched   map[string]bool
	batches   []Batch
	since     time.Time
}

func newLeader(r *Relay, session Session, l *lease, wait *backoff) *leader {
	return &leader{cfg: &r.cfg, status: &r.status, session: session, lease: l, backoff: wait,
		positions: newPositions(time.Now), window: newWindow(r.status.progress), holds: newHolds(), patience: removeDelay}
}

// run publishes until stop is done, and then lets what is on its way arrive.
// Work is what it lives under: it ends with the lease.
func (l *leader) run(stop, work context.Context, st State) error {
	// Whatever way this ends, the publisher must be done with the messages.
	publishing, cancel := context.WithCancel(work)
	defer l.settle()
	defer cancel()
	// While the broker is away, handing over blocks: after stop, not for ever.
	unhook := context.AfterFunc(stop, func() {
		sleep(publishing, l.cfg.DrainTimeout)
		cancel()
	})
	defer unhook()
	// What waits for something must end its wait with either of the two.
	active, quit := context.WithCancel(stop)
	defer quit()
	defer context.AfterFunc(work, quit)()

	if err := l.recover(publishing, st); err != nil {
		return err
	}
	for active.Err() == nil {
		if err := l.step(active, publishing); err != nil {
			return err
		}
	}
	if work.Err() != nil {
		return context.Cause(work)
	}
	return l.drain(work)
}

// step does what there is to do now, and waits where there is nothing. Waiting
// ends with active, all else with publishing.
func (l *leader) step(active, publishing context.Context) error {
	if err := l.lease.check(); err != nil {
		return err
	}
	if l.window.troubled() {
		return l.overcome(active, publishing)
	}
	l.collect()
	if l.holds.take(l.lease) {
		l.status.update(func(s *Stats) { s.Held = l.holds.number() })
	}
	if len(l.holds.retries) > 0 {
		// On its own: no row of these keys is set aside by the same change.
		return l.commit(publishing, Change{Return: l.holds.retries}, nil)
	}
	if l.newEpoch != "" && len(l.window.plans) == 0 {
		return l.changeEpoch(publishing)
	}
	var c Change
	var plan *inflight
	if l.hasRoom() {
		rows, err := l.read(publishing)
		if err != nil {
			return err
		}
		plan = l.sort(publishing, rows, &c)
	}
	if plan != nil || len(c.SetAside) > 0 || l.removalDue() {
		if err := l.commit(publishing, c, plan); err != nil || plan == nil {
			return err
		}
		return l.publish(publishing, plan)
	}
	if l.more && l.hasRoom() {
		return nil
	}
	return l.wait(active)
}

func (l *leader) hasRoom() bool {
	return len(l.window.plans) < l.cfg.Window && l.newEpoch == ""
}

func (l *leader) read(ctx context.Context) ([]Row, error) {
	q := l.positions.next(l.cfg.BatchRows, l.cfg.BatchBytes)
	rows, err := l.session.Read(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	fresh := l.positions.seen(q, rows)
	// An answer without anything new says that there is nothing more, unless it
	// was a sweep's, or had in it only what an earlier relay has taken up.
	l.more = q.Limit == 0 || len(fresh) > 0 || l.positions.high > q.After
	return fresh, nil
}

func (l *leader) removalDue() bool {
	return len(l.done.plans) > 0 && time.Since(l.done.since) >= removeDelay
}

// commit removes what is done, makes the change c, and fixes the plan's numbers,
// in one transaction.
func (l *leader) commit(ctx context.Context, c Change, plan *inflight) error {
	c.Done, c.DonePlans = l.done.positions, l.done.plans
	c.Counters = l.numbering.encode(l.done.touched)
	if err := l.session.Commit(ctx, c); err != nil {
		return fmt.Errorf("commit plan: %w", err)
	}
	l.positions.remove(c.Done)
	for _, b := range l.done.batches {
		l.cfg.Observer.Batch(b)
	}
	l.done = finished{}
	l.setAside(c.SetAside)
	if len(c.Return) > 0 {
		l.holds.release(c.Return)
		l.positions.sweep()
	}
	if plan != nil {
		l.window.add(plan)
	}
	l.status.update(func(s *Stats) {
		s.SetAside += uint64(len(c.SetAside))
		s.Held = l.holds.number()
		s.InFlight = l.window.rows
	})
	return nil
}

// wait returns when there may be something to do: rows in the source, or
// acknowledgements where only those make room.
func (l *leader) wait(active context.Context) error {
	if !l.hasRoom() {
		l.window.wait(active, removeDelay)
		return nil
	}
	idle := l.cfg.Idle
	switch {
	case len(l.done.plans) > 0:
		idle = min(idle, removeDelay)
	case len(l.window.plans) > 0:
		// The source's signal does not tell of acknowledgements, so look for
		// them, but ever less often while there are none.
		idle = min(idle, l.patience)
		l.patience = min(2*l.patience, 32*removeDelay)
	}
	err := l.session.Wait(active, idle)
	if err != nil && active.Err() == nil {
		return fmt.Errorf("wait for the outbox: %w", err)
	}
	if len(l.window.plans) == 0 {
		l.backoff.reset() // all is well, though there is nothing to publish
	}
	return nil
}
