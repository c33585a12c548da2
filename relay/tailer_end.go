package relay

import (
	"context"
	"errors"
)

// changeEpoch opens the epoch that waited for everything to arrive.
func (t *tailer) changeEpoch(ctx context.Context) error {
	if err := t.await(); err != nil {
		return err
	}
	t.state.Plans = nil
	c := t.trail.checkpoint()
	if err := t.openEpoch(ctx, t.newEpoch, &c); err != nil {
		return err
	}
	clear(t.touched)
	t.newEpoch = ""
	t.status.leading(t.state)
	return nil
}

// switchTo has rows read another way, now that nothing is on its way any more.
func (t *tailer) switchTo(ctx context.Context, to Reading) error {
	if err := t.commit(ctx, Change{Reading: to}); err != nil {
		return err
	}
	if to == FromTable {
		t.close(true)
	}
	return t.switched(to)
}

// drain saves how far everything has got.
func (t *tailer) drain(work context.Context) error {
	if t.table != nil {
		return t.table.drain(work)
	}
	t.collect()
	t.warnUnfinished()
	ctx, cancel := context.WithTimeout(work, t.cfg.LeaseTTL)
	defer cancel()
	if err := t.record(ctx); !errors.Is(err, ErrFenced) {
		return err
	}
	return nil
}

// record makes durable what has arrived: set-aside rows that were published are
// removed, and the checkpoint is saved.
func (t *tailer) record(ctx context.Context) error {
	if err := t.await(); err != nil {
		return err
	}
	switch {
	case len(t.retried.plans) > 0:
		return t.removeRetried(ctx)
	case t.dirty:
		return t.commit(ctx, Change{})
	}
	return nil
}

func (t *tailer) end() {
	_ = t.await()
	t.timer.Stop()
	t.close(false)
}

// close ends the reading.
func (t *tailer) close(forget bool) {
	if t.log == nil {
		return
	}
	if t.beside != nil {
		t.quit()
		<-t.beside
	}
	ctx, cancel := t.limited()
	defer cancel()
	if err := t.log.Close(ctx, forget); err != nil {
		t.cfg.Logger.Warn("relay could not close the log", "source", t.cfg.Source.Name(), "error", err)
	}
	t.log = nil
}
