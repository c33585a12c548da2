package relay

import (
	"context"
	"fmt"
)

// beginTable begins with what was committed before a fresh start of the log. It
// is published as a poller does it, under plans, which also takes over those of
// a relay that polled or began before this one.
func (t *tailer) beginTable(publishing context.Context) error {
	known, err := newPublished(t.state.Log.Published)
	if err != nil {
		return fmt.Errorf("published rows of the checkpoint: %w", err)
	}
	t.table = newPoller(t.leader)
	t.table.before = newBefore(t.log, known)
	if t.start.Lost != "" {
		t.table.before.reason = "the position in the log is gone: " + t.start.Lost
		t.tellLost()
	}
	return t.table.recover(publishing)
}

// tellLost tells people what a lost position means.
func (t *tailer) tellLost() {
	text := t.start.Lost + "; rows that are still in the table and not known to be published are published now, so messages of that part may be repeated"
	if last := t.state.Log.Tableless; !last.IsZero() {
		text += "; messages were appended past the table, the last before the checkpoint at " + last.UTC().Format("2006-01-02T15:04:05Z") +
			": those in the missing part are lost"
	}
	t.status.update(func(s *Stats) { s.Lost = text })
	t.cfg.Logger.Error("relay cannot go on at its position in the log", "source", t.cfg.Source.Name(), "lost", text)
}

// stepTable goes on with the rows before the start, and follows the log when
// they are done.
func (t *tailer) stepTable(active, publishing context.Context) error {
	p := t.table
	if !p.before.over || len(t.window.plans) > 0 || len(p.done.plans) > 0 || t.newEpoch != "" || t.window.troubled() {
		return p.step(active, publishing)
	}
	// What is published is gone from the table, or was known before.
	c := Checkpoint{Position: t.start.Position, Published: t.state.Log.Published, Tableless: t.state.Log.Tableless}
	var err error
	if t.trail, err = newTrail(c); err != nil {
		return err
	}
	if err := t.lease.check(); err != nil {
		t.trail = nil
		return err
	}
	if err := t.commit(publishing, Change{}); err != nil {
		t.trail = nil
		return err
	}
	t.table, t.sure = nil, true
	t.follow()
	return nil
}
