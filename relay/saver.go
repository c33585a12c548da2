package relay

import (
	"context"
	"fmt"
	"time"
)

// A saver saves checkpoints beside the pipeline, one at a time.
type saver struct {
	saved  chan error // the end of the save that is on its way
	saving *Checkpoint
	dirty  bool // there is something to save
	began  time.Time
	timer  *time.Timer
	armed  bool // the timer runs
	// touched are the channels whose counters have changed since the last save.
	touched map[string]bool
}

func newSaver() saver {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return saver{saved: make(chan error, 1), timer: timer, touched: map[string]bool{}}
}

// saveIfDue begins to save, or sets the timer to when it is time.
func (t *tailer) saveIfDue(ctx context.Context) error {
	s := &t.saver
	if s.saving != nil {
		select {
		case err := <-s.saved:
			return t.finishSave(err)
		default:
			return nil
		}
	}
	if !s.dirty {
		return nil
	}
	if left := t.cfg.Checkpoint - time.Since(s.began); left > 0 {
		if !s.armed {
			s.timer.Reset(left)
			s.armed = true
		}
		return nil
	}
	s.timer.Stop() // nobody waits for it while the broker fails
	s.armed = false
	c := t.change(Change{})
	s.saving, s.began = c.Log, time.Now()
	go func() { s.saved <- t.session.Commit(ctx, c) }()
	return nil
}

// change adds the checkpoint and the counters that belong to it.
func (t *tailer) change(c Change) Change {
	checkpoint := t.trail.checkpoint()
	c.Log, c.Counters = &checkpoint, t.numbering.encode(t.touched)
	clear(t.touched)
	t.dirty = false
	return c
}

// finishSave takes up the end of a save: the database may now forget what lies
// before.
func (t *tailer) finishSave(err error) error {
	c := *t.saving
	t.saving = nil
	return t.confirm(c, err)
}

func (t *tailer) confirm(c Checkpoint, err error) error {
	if err != nil {
		return fmt.Errorf("save the checkpoint: %w", err)
	}
	t.log.Confirm(c)
	t.status.update(func(s *Stats) { s.Checkpoints++ })
	return nil
}

// await waits for the save that is on its way.
func (t *tailer) await() error {
	if t.saving == nil {
		return nil
	}
	return t.finishSave(<-t.saved)
}

// commit makes the change now, together with a checkpoint.
func (t *tailer) commit(ctx context.Context, c Change) error {
	if err := t.await(); err != nil {
		return err
	}
	c = t.change(c)
	err := t.session.Commit(ctx, c)
	t.saver.began = time.Now()
	return t.confirm(*c.Log, err)
}
