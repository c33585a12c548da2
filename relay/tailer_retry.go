package relay

import (
	"context"
	"errors"
	"fmt"
)

// errTablePlan cannot happen: the first checkpoint is saved when all plans of
// the table are done.
var errTablePlan = errors.New("a plan for rows of the table is left, though the log was followed already")

// asideAt reads set-aside rows of a plan.
func (t *tailer) asideAt(ctx context.Context, plan Plan, positions []int64) ([]Row, error) {
	if !plan.Aside {
		return nil, errTablePlan
	}
	return t.log.Aside(ctx, AsideQuery{Positions: positions})
}

// retrying tells whether set-aside rows are on their way.
func (t *tailer) retrying() bool {
	return len(t.window.plans) > 0 && t.window.plans[len(t.window.plans)-1].id != 0
}

// retry publishes set-aside rows of a key, as many as fit into a batch, in
// order, until one cannot be published still. Nothing is on its way, so that the
// plan's numbers follow those of all that was read from the log: the checkpoint
// that is committed with it says so.
func (t *tailer) retry(ctx context.Context, key HeldKey) error {
	rows, err := t.log.Aside(ctx, AsideQuery{Key: key, Limit: t.cfg.BatchRows})
	if err != nil {
		return fmt.Errorf("read the set-aside rows of key %q of channel %q: %w", key.Key, key.Channel, err)
	}
	if len(rows) == 0 {
		t.holds.free(key)
		t.tell(0)
		return nil
	}
	p := &inflight{}
	var keep []SetAside
	for i := range rows {
		row := &rows[i]
		if reason := t.refuseAside(ctx, row); reason != "" {
			keep = append(keep, SetAside{Position: row.Position, Key: key, Reason: clean(reason)})
			if key.Key != "" {
				break // what is behind it has to wait
			}
			continue
		}
		p.positions = append(p.positions, row.Position)
		p.take(&row.Message)
		if p.bytes >= t.cfg.BatchBytes {
			break
		}
	}
	if len(p.messages) == 0 {
		if err := t.commit(ctx, Change{KeepAside: keep}); err != nil {
			return err
		}
		for _, s := range keep {
			t.cfg.Logger.Warn("set-aside row still cannot be published", "source", t.cfg.Source.Name(), "position", s.Position,
				"channel", key.Channel, "key", key.Key, "reason", s.Reason)
		}
		t.holds.keep(key)
		return nil
	}
	t.nextPlan++
	p.id = t.nextPlan
	if err := t.commit(ctx, Change{Plan: &Plan{ID: p.id, Positions: EncodePositions(p.positions), Aside: true}}); err != nil {
		return err
	}
	t.window.add(p)
	t.tell(0)
	return t.publish(ctx, p)
}

// removeRetried removes set-aside rows that were published.
func (t *tailer) removeRetried(ctx context.Context) error {
	if err := t.commit(ctx, Change{DoneAside: t.retried.positions, DonePlans: t.retried.plans}); err != nil {
		return err
	}
	t.retried = finished{}
	return nil
}
