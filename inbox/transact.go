package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"tidings.example"
)

// A result is what became of one item in a transaction.
type result struct {
	outcome Outcome
	verdict Verdict
	missing Hole
	// why says why it was parked.
	why string
}

// A failure is why a transaction was rolled back.
type failure struct {
	err error
	// called is set if a handler was called: the failure may be its doing.
	called bool
	// item is the item whose handler returned the error; nil if none did.
	item     *item
	timedOut bool
}

// transact handles the items in one transaction.
func (r *run[Tx]) transact(items []*item) ([]result, *failure) {
	ctx, cancel := context.WithTimeout(r.ctx, r.cfg.HandlerTimeout)
	defer cancel()
	var results []result
	var f failure
	f.err = r.inTx(ctx, func(ctx context.Context, tx Tx) (err error) {
		results, err = r.apply(ctx, tx, items, &f)
		return err
	})
	if f.err == nil {
		return results, nil
	}
	f.timedOut = errors.Is(ctx.Err(), context.DeadlineExceeded)
	return nil, &f
}

// apply is what happens inside the transaction.
func (r *run[Tx]) apply(ctx context.Context, tx Tx, items []*item, f *failure) ([]result, error) {
	w := wantOf(items)
	recs, err := r.cfg.Store.Lock(ctx, tx, r.cfg.Subscriber, w)
	if err != nil {
		return nil, fmt.Errorf("read the inbox's records: %w", err)
	}
	u, err := newUnit(w, recs)
	if err != nil {
		return nil, err
	}
	results := make([]result, len(items))
	for i, it := range items {
		if results[i], err = r.applyOne(ctx, tx, u, it, f); err != nil {
			return nil, err
		}
	}
	if c, ok := u.changes(); ok {
		if err := r.cfg.Store.Save(ctx, tx, r.cfg.Subscriber, c); err != nil {
			return nil, fmt.Errorf("save the inbox's records: %w", err)
		}
	}
	return results, nil
}

func (r *run[Tx]) applyOne(ctx context.Context, tx Tx, u *unit, it *item, f *failure) (result, error) {
	lane, ok := it.m.Lane()
	if !ok {
		id := idOf(it.m)
		if u.seen[id] {
			return result{outcome: Duplicated}, nil
		}
		u.see(id)
		outcome, err := r.settle(ctx, tx, u, it, it.park, f)
		return result{outcome: outcome, why: it.park}, err
	}
	d := Decide(*u.lanes[lane], Arrival{Sequence: it.m.Stamp.Sequence, Made: it.m.Time, Now: r.cfg.Now()},
		Rules{MaxHoles: r.cfg.MaxHoles, ClockTolerance: r.cfg.ClockTolerance})
	res := result{outcome: Duplicated, verdict: d.Verdict, missing: d.Missing}
	var err error
	switch {
	case d.Verdict == TooManyHoles:
		err = &TooManyHolesError{Subscriber: r.cfg.Subscriber, Lane: lane, Limit: r.cfg.MaxHoles}
	case d.Verdict == SetBack:
		res.outcome, err = r.setBack(ctx, tx, u, it)
	case d.Verdict.Fresh():
		u.set(d.State)
		why := it.park
		if d.Verdict == Gap && r.cfg.Strict && why == "" {
			why = fmt.Sprintf("numbers %d to %d of its lane are missing before it, and the subscriber is strict", d.Missing.First, d.Missing.Last)
		}
		res.why = why
		res.outcome, err = r.settle(ctx, tx, u, it, why, f)
	}
	return res, err
}

// settle parks a fresh message if there is a reason to, else calls the handler.
func (r *run[Tx]) settle(ctx context.Context, tx Tx, u *unit, it *item, why string, f *failure) (Outcome, error) {
	held := u.held[heldKey(it.m)]
	if it.failure != nil && !held {
		f.called = true
		settled, err := r.giveUp(ctx, tx, it.m, it.failure)
		switch {
		case err != nil:
			f.item = it
			return "", err
		case settled:
			return GivenUp, nil
		}
	}
	switch {
	case why != "":
		u.park(it, why)
		return ParkedFailed, nil
	case held:
		u.park(it, "waits behind an earlier message of its key")
		return ParkedBehind, nil
	}
	f.called = true
	// The stack of a message's first panic is enough.
	if err := r.call(ctx, tx, it.m, it.attempts == 0); err != nil {
		f.item = it
		return "", err
	}
	return Handled, nil
}

// setBack parks a message whose number was given out before, once: the lane's
// record cannot tell whether it was parked already, its id can.
func (r *run[Tx]) setBack(ctx context.Context, tx Tx, u *unit, it *item) (Outcome, error) {
	id := idOf(it.m)
	seen, asked := u.seen[id]
	if !asked {
		recs, err := r.cfg.Store.Lock(ctx, tx, r.cfg.Subscriber, Want{IDs: []MessageID{id}})
		if err != nil {
			return "", fmt.Errorf("read the inbox's record of an id: %w", err)
		}
		seen = len(recs.Seen) == 1 && recs.Seen[0]
	}
	if seen {
		return Duplicated, nil
	}
	u.see(id)
	u.park(it, fmt.Sprintf("source %q was set back: number %d of lane %d, epoch %s, was handled before this message was made; "+
		"start the source with a new epoch, and retry or discard this", it.m.Source, it.m.Stamp.Sequence, it.m.Stamp.Lane, it.m.Stamp.Epoch))
	return ParkedSetBack, nil
}

// call calls the handler; a panic becomes an error.
func (r *run[Tx]) call(ctx context.Context, tx Tx, m *tidings.Message, logStack bool) (err error) {
	defer func() { r.recovered(recover(), m, logStack, &err) }()
	return r.cfg.Handler(tidings.WithCause(ctx, m), tx, m)
}

// giveUp calls GiveUp; a panic becomes an error.
func (r *run[Tx]) giveUp(ctx context.Context, tx Tx, m *tidings.Message, failure error) (settled bool, err error) {
	defer func() { r.recovered(recover(), m, true, &err) }()
	return r.cfg.GiveUp(tidings.WithCause(ctx, m), tx, m, failure)
}

func (r *run[Tx]) recovered(value any, m *tidings.Message, logStack bool, err *error) {
	if value == nil {
		return
	}
	*err = &panicked{value: value}
	if logStack {
		r.log(slog.LevelError, "handler panicked", m, "error", *err, "stack", string(debug.Stack()))
	}
}
