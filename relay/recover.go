package relay

import (
	"context"
	"fmt"
	"time"
)

// recover takes over what the source remembers: it publishes the plans of the
// relay before this one again, with the numbers that they had, or opens a new
// epoch where numbers cannot go on.
func (l *poller) recover(ctx context.Context) error {
	st := l.state
	var plans []*inflight
	var lost *Checkpoint
	reason := newEpochReason(st)
	if l.before != nil && l.before.reason != "" {
		// Only once: without its position the checkpoint is not found lost again.
		lost = &Checkpoint{Published: st.Log.Published, Tableless: st.Log.Tableless}
		if reason == "" {
			reason = l.before.reason
		}
	}
	if reason == "" {
		numbering, err := newNumbering(l.cfg.Source.Name(), st)
		if err != nil {
			return err
		}
		l.numbering = numbering
		if plans, reason, err = l.reread(ctx, st.Plans, l.rowsAt); err != nil {
			return err
		}
	}
	switch {
	case reason != "":
		plans = nil
		if err := l.openEpoch(ctx, reason, lost); err != nil {
			return err
		}
		l.positions = newPositions(time.Now)
	case st.Lanes != l.cfg.Lanes:
		// What may have been published keeps its numbers: first that arrives.
		l.newEpoch = lanesReason(st.Lanes, l.cfg.Lanes)
	}
	for _, p := range plans {
		l.positions.take(p.positions)
		if l.before != nil {
			l.before.take(p.positions)
		}
	}
	l.leads(len(plans))
	return l.publishAgain(ctx, plans)
}

func lanesReason(from, to int) string { return fmt.Sprintf("lanes changed from %d to %d", from, to) }

// publishAgain hands over the plans of an earlier relay.
func (l *leader) publishAgain(ctx context.Context, plans []*inflight) error {
	l.window.open(ctx)
	for _, p := range plans {
		l.recovered = p.id
		l.window.add(p)
	}
	l.status.update(func(s *Stats) { s.InFlight = l.window.rows })
	for _, p := range plans {
		if err := l.publish(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// changeEpoch opens the epoch that waited for everything to arrive.
func (l *poller) changeEpoch(ctx context.Context) error {
	// The counters of what is done belong to the epoch that ends.
	if len(l.done.plans) > 0 {
		if err := l.commit(ctx, Change{}, nil); err != nil {
			return err
		}
	}
	l.state.Plans = nil
	if err := l.openEpoch(ctx, l.newEpoch, nil); err != nil {
		return err
	}
	l.positions = newPositions(time.Now)
	l.newEpoch = ""
	l.status.leading(l.state)
	return nil
}

// openEpoch forgets all numbers. If the answer to its commit is lost, the next
// leader finds an epoch in which nothing was published yet. The checkpoint, if not
// nil, is saved with it.
func (l *leader) openEpoch(ctx context.Context, reason string, c *Checkpoint) error {
	st := &l.state
	epoch := &Epoch{Name: newEpochName(time.Now()), Lanes: l.cfg.Lanes, Identity: st.Now, Reason: clean(reason)}
	if err := l.session.Commit(ctx, Change{Epoch: epoch, Log: c}); err != nil {
		return fmt.Errorf("open epoch: %w", err)
	}
	if st.Epoch != "" {
		l.cfg.Logger.Warn("relay opens a new epoch; messages of unfinished plans may arrive twice",
			"source", l.cfg.Source.Name(), "epoch", epoch.Name, "before", st.Epoch, "reason", reason, "unfinished_plans", len(st.Plans))
	}
	st.Epoch, st.Lanes, st.Identity, st.Counters, st.Plans = epoch.Name, epoch.Lanes, epoch.Identity, nil, nil
	numbering, err := newNumbering(l.cfg.Source.Name(), *st)
	if err != nil {
		return err
	}
	l.numbering = numbering
	l.status.update(func(s *Stats) { s.Epochs++ })
	return nil
}

// rowsAt reads rows of the table.
func (l *poller) rowsAt(ctx context.Context, _ Plan, positions []int64) ([]Row, error) {
	return l.session.Read(ctx, Query{Ranges: ranges(positions)})
}

// reread reads the rows of plans and numbers them again. A reason is returned
// where that is impossible, since somebody has changed the rows.
func (l *leader) reread(ctx context.Context, plans []Plan, read func(context.Context, Plan, []int64) ([]Row, error)) (all []*inflight, reason string, err error) {
	for _, plan := range plans {
		l.nextPlan = max(l.nextPlan, plan.ID)
		positions, err := DecodePositions(plan.Positions)
		if err != nil {
			return nil, "", fmt.Errorf("plan %d: %w", plan.ID, err)
		}
		rows, err := read(ctx, plan, positions)
		if err != nil {
			return nil, "", fmt.Errorf("read the rows of plan %d: %w", plan.ID, err)
		}
		p := &inflight{id: plan.ID, positions: positions}
		byPosition := make(map[int64]*Row, len(rows))
		for i := range rows {
			byPosition[rows[i].Position] = &rows[i]
		}
		for _, position := range positions {
			row := byPosition[position]
			if row == nil || row.Err != nil {
				return nil, fmt.Sprintf("row %d of plan %d was changed or removed by somebody else", position, plan.ID), nil
			}
			l.numbering.stamp(&row.Message)
			p.messages = append(p.messages, &row.Message)
			p.bytes += len(row.Message.Payload)
		}
		all = append(all, p)
	}
	return all, "", nil
}
