package relay

import (
	"context"
	"fmt"
	"time"
)

// recover takes over what the source remembers: it publishes the plans of the
// relay before this one again, with the numbers that they had, or opens a new
// epoch where numbers cannot go on.
func (l *leader) recover(ctx context.Context, st State) error {
	l.state = st
	var plans []*inflight
	reason := newEpochReason(st)
	if reason == "" {
		numbering, err := newNumbering(l.cfg.Source.Name(), st)
		if err != nil {
			return err
		}
		l.numbering = numbering
		if plans, reason, err = l.reread(ctx, st.Plans); err != nil {
			return err
		}
	}
	switch {
	case reason != "":
		plans = nil
		if err := l.openEpoch(ctx, reason); err != nil {
			return err
		}
	case st.Lanes != l.cfg.Lanes:
		// What may have been published keeps its numbers: first that arrives.
		l.newEpoch = fmt.Sprintf("lanes changed from %d to %d", st.Lanes, l.cfg.Lanes)
	}
	l.status.leading(l.state)
	l.cfg.Logger.Info("relay leads", "source", l.cfg.Source.Name(), "holder", l.cfg.Holder,
		"fence", st.Fence, "epoch", l.state.Epoch, "recovered_plans", len(plans))
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
func (l *leader) changeEpoch(ctx context.Context) error {
	// The counters of what is done belong to the epoch that ends.
	if len(l.done.plans) > 0 {
		if err := l.commit(ctx, Change{}, nil); err != nil {
			return err
		}
	}
	l.state.Plans = nil
	if err := l.openEpoch(ctx, l.newEpoch); err != nil {
		return err
	}
	l.newEpoch = ""
	l.status.leading(l.state)
	return nil
}

// openEpoch forgets all numbers. If the answer to its commit is lost, the next
// leader finds an epoch in which nothing was published yet.
func (l *leader) openEpoch(ctx context.Context, reason string) error {
	st := &l.state
	epoch := &Epoch{Name: newEpochName(time.Now()), Lanes: l.cfg.Lanes, Identity: st.Now, Reason: clean(reason)}
	if err := l.session.Commit(ctx, Change{Epoch: epoch}); err != nil {
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
	l.positions = newPositions(time.Now)
	l.status.update(func(s *Stats) { s.Epochs++ })
	return nil
}

// reread reads the rows of plans and numbers them again. A reason is returned
// where that is impossible, since somebody has changed the rows.
func (l *leader) reread(ctx context.Context, plans []Plan) (all []*inflight, reason string, err error) {
	for _, plan := range plans {
		l.nextPlan = max(l.nextPlan, plan.ID)
		positions, err := DecodePositions(plan.Positions)
		if err != nil {
			return nil, "", fmt.Errorf("plan %d: %w", plan.ID, err)
		}
		rows, err := l.session.Read(ctx, Query{Ranges: ranges(positions)})
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
		l.positions.take(positions)
		all = append(all, p)
	}
	return all, "", nil
}
