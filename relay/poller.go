package relay

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// removeDelay is how long the removal of published rows may wait for a plan to
// be committed with: one transaction then does both.
const removeDelay = 20 * time.Millisecond

// A poller is the way that reads rows from the table: plan, publish, remove.
type poller struct {
	*leader
	positions *positions
	done      finished
	more      bool          // the last read was full: there is more to read now
	patience  time.Duration // how long to wait while something is on its way
	// before, if not nil, gives the rows instead: those of a fresh start of the log.
	before *before
}

// finished is what was published and waits to be removed from the source.
type finished struct {
	positions []int64
	plans     []int64
	touched   map[string]bool
	batches   []Batch
	since     time.Time
}

func newPoller(l *leader) *poller {
	return &poller{leader: l, positions: newPositions(time.Now), patience: removeDelay}
}

func (l *poller) begin(_, publishing context.Context) error { return l.recover(publishing) }

func (l *poller) end() {}

func (l *poller) step(active, publishing context.Context) error {
	if err := l.lease.check(); err != nil {
		return err
	}
	l.collect()
	if l.window.troubled() {
		return l.overcome(active, publishing)
	}
	l.takeHolds()
	if len(l.holds.retries) > 0 && l.before == nil {
		// On its own: no row of these keys is set aside by the same change.
		return l.commit(publishing, Change{Return: l.holds.retries}, nil)
	}
	if l.newEpoch != "" && len(l.window.plans) == 0 {
		return l.changeEpoch(publishing)
	}
	to := l.wanted()
	if to != "" && l.before == nil && len(l.window.plans) == 0 {
		return l.switchTo(publishing, to)
	}
	var c Change
	var plan *inflight
	if l.hasRoom(to) {
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
		l.patience = removeDelay
		return l.publish(publishing, plan)
	}
	if l.more && l.hasRoom(to) {
		return nil
	}
	return l.wait(active, to)
}

// hasRoom tells whether to read more; to is where rows are to be read from soon.
func (l *poller) hasRoom(to Reading) bool {
	return len(l.window.plans) < l.cfg.Window && l.newEpoch == "" && (to == "" || l.before != nil)
}

func (l *poller) read(ctx context.Context) ([]Row, error) {
	if l.before != nil {
		rows, err := l.before.read(ctx, l.cfg.BatchRows, l.cfg.BatchBytes)
		l.more = err == nil && !l.before.over
		return rows, err
	}
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

func (l *poller) removalDue() bool {
	return len(l.done.plans) > 0 && (time.Since(l.done.since) >= removeDelay || l.before != nil && len(l.window.plans) == 0)
}

// commit removes what is done, makes the change c, and fixes the plan's numbers,
// in one transaction.
func (l *poller) commit(ctx context.Context, c Change, plan *inflight) error {
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
	for _, s := range c.SetAside {
		l.positions.remove([]int64{s.Position})
	}
	l.setAside(c.SetAside)
	if len(c.Return) > 0 {
		l.holds.release(c.Return)
		l.positions.sweep()
	}
	if plan != nil {
		l.window.add(plan)
	}
	l.tell(len(c.SetAside))
	return nil
}

// collect takes up the plans that the broker holds.
func (l *poller) collect() {
	completed := l.completed()
	if len(completed) == 0 {
		return
	}
	l.patience = removeDelay
	if l.done.touched == nil {
		l.done.touched, l.done.since = map[string]bool{}, time.Now()
	}
	for _, p := range completed {
		l.numbering.complete(p.messages, l.done.touched)
		l.done.positions = append(l.done.positions, p.positions...)
		l.done.plans = append(l.done.plans, p.id)
		l.done.batches = append(l.done.batches, l.batchOf(p))
	}
}

// wait returns when there may be something to do: rows in the source, or
// acknowledgements where only those make room.
func (l *poller) wait(active context.Context, to Reading) error {
	if !l.hasRoom(to) || l.before != nil {
		if l.before == nil || len(l.window.plans) > 0 {
			l.window.wait(active, removeDelay)
		}
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

// switchTo has rows read another way, now that nothing is on its way any more.
func (l *poller) switchTo(ctx context.Context, to Reading) error {
	if err := l.commit(ctx, Change{Reading: to}, nil); err != nil {
		return err
	}
	return l.switched(to)
}

// drain removes what has arrived.
func (l *poller) drain(work context.Context) error {
	l.collect()
	l.warnUnfinished()
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
