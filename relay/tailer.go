package relay

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A tailer is the way that reads rows from the log. A goroutine of its own reads
// ahead, another one saves; numbers and decisions are this one's.
type tailer struct {
	*leader
	source LogSource
	log    Log
	start  Start
	trail  *trail
	// table publishes what was committed before a fresh start; nil otherwise.
	table *poller

	batches chan LogBatch // what was read ahead; closed after readErr is set
	readErr error
	ended   time.Time          // when the log has ended with readErr; zero before
	quit    context.CancelFunc // of the goroutines beside this one
	beside  chan struct{}      // closed when they have ended; nil before they begin

	saver
	began     time.Time // when this relay took over
	heard     time.Time // when the log last gave something
	committed time.Time // when that was committed, by the database's clock
	sure      bool      // all that an earlier relay may have published was read
	later     string    // why to open a new epoch once that is so
	// retried is what was published of set-aside rows, and is to be removed.
	retried finished
}

const (
	// readAhead is the number of batches that wait to be numbered.
	readAhead = 2
	// maxPieces bounds the pieces on their way, which may be of one row each.
	maxPieces = 1024
	// clockMargin is how far the database's clock may be off.
	clockMargin = 10 * time.Second
	lagInterval = 2 * time.Second
)

func newTailer(l *leader, source LogSource) *tailer {
	now := time.Now()
	return &tailer{leader: l, source: source, batches: make(chan LogBatch, readAhead),
		saver: newSaver(), began: now, heard: now}
}

func (t *tailer) begin(active, publishing context.Context) error {
	log, start, err := t.source.Tail(active, t.session, t.state)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	t.log, t.start = log, start
	if start.Fresh {
		return t.beginTable(publishing)
	}
	if t.trail, err = newTrail(t.state.Log); err != nil {
		return err
	}
	return t.takeOver(publishing)
}

// takeOver goes on at the checkpoint of the relay before this one.
func (t *tailer) takeOver(publishing context.Context) error {
	var plans []*inflight
	reason := newEpochReason(t.state)
	if reason == "" {
		reason = t.renumber
	}
	if reason == "" {
		numbering, err := newNumbering(t.cfg.Source.Name(), t.state)
		if err != nil {
			return err
		}
		t.numbering = numbering
		if plans, reason, err = t.reread(publishing, t.state.Plans, t.asideAt); err != nil {
			return err
		}
	}
	switch {
	case reason != "":
		plans = nil
		c := t.trail.checkpoint()
		if err := t.openEpoch(publishing, reason, &c); err != nil {
			return err
		}
	case len(plans) > 0:
		t.sure = true // while they were on their way nothing else was
	}
	if reason == "" && t.state.Lanes != t.cfg.Lanes {
		t.later = lanesReason(t.state.Lanes, t.cfg.Lanes)
	}
	t.leads(len(plans), "position", string(t.trail.position))
	t.follow()
	return t.publishAgain(publishing, plans)
}

func (t *tailer) step(active, publishing context.Context) error {
	if t.table != nil {
		return t.stepTable(active, publishing)
	}
	if err := t.lease.check(); err != nil {
		return err
	}
	t.collect()
	if err := t.saveIfDue(publishing); err != nil {
		return err
	}
	if t.isOver() {
		return t.lastSave(publishing)
	}
	if t.window.troubled() {
		return t.overcome(active, publishing)
	}
	t.takeHolds()
	if t.later != "" && t.isSure() {
		t.newEpoch, t.later = t.later, ""
	}
	to := t.wanted()
	pause := t.newEpoch != "" || len(t.retried.plans) > 0 || t.retrying() ||
		(to != "" || len(t.holds.retries) > 0) && t.isSure()
	if pause && len(t.window.plans) == 0 {
		return t.turnAside(publishing, to)
	}
	return t.wait(active, publishing, !pause && t.ended.IsZero() && t.hasRoom())
}

// isOver tells whether to give up a log that has ended. One that can be opened
// again is not worth a long wait for what is on its way. One that is lost is worth any:
// a new epoch follows, in which what has not arrived by then is published again.
func (t *tailer) isOver() bool {
	switch {
	case t.ended.IsZero():
		return false
	case len(t.window.plans) == 0:
		return true
	case errors.Is(t.readErr, ErrLogLost):
		return false
	}
	return t.window.troubled() || time.Since(t.ended) > t.cfg.LeaseTTL
}

// lastSave saves what has arrived before the log ended, and returns why it has.
// If the log can be opened again, that spares the broker some repetitions; if it
// is gone, what was not saved would be handled twice under the next epoch.
func (t *tailer) lastSave(ctx context.Context) error {
	return errors.Join(fmt.Errorf("read the log: %w", t.readErr), t.record(ctx))
}

// turnAside does what needs that nothing is on its way.
func (t *tailer) turnAside(publishing context.Context, to Reading) error {
	switch {
	case len(t.retried.plans) > 0:
		return t.removeRetried(publishing)
	case t.newEpoch != "":
		return t.changeEpoch(publishing)
	case len(t.holds.retries) > 0:
		return t.retry(publishing, t.holds.retries[0])
	}
	return t.switchTo(publishing, to)
}

func (t *tailer) hasRoom() bool {
	return t.window.rows < t.cfg.Window*t.cfg.BatchRows && t.window.bytes < t.cfg.Window*t.cfg.BatchBytes && len(t.window.plans) < maxPieces
}

// wait takes up what comes next: rows, if more may be read, acknowledgements,
// the end of a save, the time for one, or news of the lease.
func (t *tailer) wait(active, publishing context.Context, more bool) error {
	batches := t.batches
	if !more {
		batches = nil
	}
	select {
	case <-active.Done():
	case <-t.lease.signal:
	case <-t.window.changed:
	case <-t.timer.C:
		t.armed = false
	case err := <-t.saved:
		return t.finishSave(err)
	case b, ok := <-batches:
		if !ok {
			t.ended = time.Now()
			return nil
		}
		return t.takeUp(publishing, b)
	}
	return nil
}

// collect takes up the pieces that the broker holds.
func (t *tailer) collect() {
	for _, p := range t.completed() {
		t.numbering.complete(p.messages, t.touched)
		if len(p.messages) > 0 {
			t.cfg.Observer.Batch(t.batchOf(p))
		}
		if p.id != 0 {
			t.retried.plans = append(t.retried.plans, p.id)
			t.retried.positions = append(t.retried.positions, p.positions...)
			continue
		}
		t.numbering.completeHoles(p.piece.holes, t.touched)
		t.trail.complete(&p.piece)
		t.dirty = true
	}
}

// isSure tells whether all that an earlier relay may have published was read,
// and has its numbers again: only then may others get the next ones. So it is
// when this relay leads for a while, and what comes was committed since, or
// nothing comes.
func (t *tailer) isSure() bool {
	if t.sure || time.Since(t.began) < clockMargin {
		return t.sure
	}
	quiet := time.Since(t.heard) > clockMargin && len(t.batches) == 0
	t.sure = quiet || t.committed.After(t.began.Add(clockMargin))
	return t.sure
}
