package inboxtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/inbox"
)

// patience is how long anything in a run may take.
const patience = 20 * time.Second

// check lives through a history and returns what is wrong at its end.
func check[Tx any](ctx context.Context, s Subject[Tx], h *history, m mutation[Tx]) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the run hangs"))
	defer cancel()
	r := &life[Tx]{Subject: s, h: h, name: "inboxtest-" + tidings.NewID()}
	src := newSource(h, r.name)
	src.renumbers = m.renumbers
	r.log = disturbed(src.publish(), h.disturb)
	r.broker = newModel(r.log)
	r.transactions, r.handlers = &faults{left: h.transactions}, &faults{left: h.handlers}
	r.store = &faulty[Tx]{Storage: s.Inbox, faults: r.transactions}
	if m.store != nil {
		r.store = m.store(s.Inbox, r.transactions)
	}
	for _, cut := range h.cuts {
		if err := r.session(ctx, cut); err != nil {
			return err
		}
	}
	if err := r.session(ctx, -1); err != nil {
		return err
	}
	return errors.Join(r.checkEffects(ctx), r.checkLanes(ctx))
}

// life is a history while it happens.
type life[Tx any] struct {
	Subject[Tx]
	h                      *history
	name                   string // of the subscriber
	log                    []record
	broker                 *model
	store                  inbox.Storage[Tx]
	transactions, handlers *faults
	healed                 atomic.Bool
}

// session runs an inbox until the broker has got so many acknowledgements; the
// last session, with -1, also heals what is poisoned and retries it.
func (r *life[Tx]) session(ctx context.Context, cut int) error {
	in, err := inbox.New(inbox.Config[Tx]{
		Subscriber: r.name, Store: r.store, Broker: r.broker, Channels: []string{"model"}, Handler: r.handle,
		Concurrency: r.h.concurrency, BatchSize: r.h.batch, MaxAttempts: 1000,
		Backoff: inbox.Backoff{Initial: time.Microsecond, Max: time.Millisecond},
	})
	if err != nil {
		return err
	}
	reached := r.broker.session(cut)
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- in.Run(running) }()
	select {
	case <-reached:
	case err := <-ended:
		return fmt.Errorf("the inbox ended: %w", errors.Join(err, context.Cause(ctx)))
	}
	if cut < 0 && len(r.h.poison) > 0 {
		err = r.retry(ctx, in)
	}
	stop()
	return errors.Join(err, <-ended)
}

func (r *life[Tx]) retry(ctx context.Context, in *inbox.Inbox[Tx]) error {
	r.healed.Store(true)
	want := len(r.delivered())
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		// Again and again, since a retry that fails takes the request back.
		if err := r.askRetry(ctx); err != nil {
			return fmt.Errorf("ask for a retry: %w", err)
		}
		in.RetryParked()
		got, err := r.Recorded(ctx, r.name)
		if err != nil || len(got) >= want {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("parked messages were not retried: %w", context.Cause(ctx))
		}
	}
}

// askRetry asks for a retry of all held keys, as an operator does.
func (r *life[Tx]) askRetry(ctx context.Context) error {
	heads, err := r.Admin.ListParked(ctx, admin.ParkedFilter{Subscriber: r.name, Heads: true})
	if err != nil {
		return err
	}
	for _, p := range heads {
		err := r.Admin.RetryParked(ctx, p.ID, admin.Action{Actor: "inboxtest", Reason: "healed"})
		if err != nil && !errors.Is(err, admin.ErrNotFound) { // it may be gone meanwhile
			return err
		}
	}
	return nil
}

// handle has one effect, and fails as ordered.
func (r *life[Tx]) handle(ctx context.Context, tx Tx, m *tidings.Message) error {
	if err := r.Record(ctx, tx, r.name, string(m.Payload)); err != nil {
		return err
	}
	var i int
	if _, err := fmt.Sscan(string(m.Payload), &i); err != nil {
		return inbox.Permanent(err)
	}
	if r.h.poison[i] && !r.healed.Load() {
		return inbox.Permanent(errors.New("poisoned"))
	}
	switch r.handlers.next() {
	case before:
		return errors.New("the handler fails")
	case panics:
		panic("the handler panics")
	}
	return nil
}

// delivered are the messages that arrive, in the order of their first arrival.
func (r *life[Tx]) delivered() []int {
	var order []int
	for _, rec := range r.log {
		if !slices.Contains(order, rec.i) {
			order = append(order, rec.i)
		}
	}
	return order
}

// checkEffects demands one effect for each message that arrived, in the order
// of arrival within each key, and, where nothing was parked, each lane.
func (r *life[Tx]) checkEffects(ctx context.Context) error {
	effects, err := r.Recorded(ctx, r.name)
	if err != nil {
		return fmt.Errorf("read the effects: %w", err)
	}
	var got []int
	for _, e := range effects {
		var i int
		if _, err := fmt.Sscan(e, &i); err != nil {
			return fmt.Errorf("effect %q: %w", e, err)
		}
		if slices.Contains(got, i) {
			return fmt.Errorf("message %d was handled twice", i)
		}
		got = append(got, i)
	}
	want := r.delivered()
	for _, i := range want {
		if !slices.Contains(got, i) {
			return fmt.Errorf("message %d was lost", i)
		}
	}
	if len(got) > len(want) {
		return fmt.Errorf("effects %v, but delivered were %v", got, want)
	}
	parked := map[int]bool{}
	for i := range r.h.poison {
		parked[r.h.lanes[i]] = true
	}
	for i := range r.h.lanes {
		same := func(j int) bool {
			lane := r.h.lanes[i]
			return lane == r.h.lanes[j] && (r.h.keys[i] == r.h.keys[j] || lane >= 0 && !parked[lane])
		}
		if g, w := filter(got, same), filter(want, same); !slices.Equal(g, w) {
			return fmt.Errorf("messages of lane %d were handled in the order %v, but arrived as %v", r.h.lanes[i], g, w)
		}
	}
	return nil
}

func filter(s []int, keep func(int) bool) []int {
	return slices.DeleteFunc(slices.Clone(s), func(i int) bool { return !keep(i) })
}

// checkLanes demands that the records say what arrived and what is missing.
func (r *life[Tx]) checkLanes(ctx context.Context) error {
	for n := range 2 {
		arrived := map[uint64]bool{}
		var last uint64
		var lane tidings.Lane
		for _, rec := range r.log {
			if r.h.lanes[rec.i] == n {
				lane, _ = rec.m.Lane()
				arrived[rec.m.Stamp.Sequence] = true
				last = max(last, rec.m.Stamp.Sequence)
			}
		}
		if last == 0 {
			continue
		}
		var state inbox.LaneState
		err := r.Inbox.InTx(ctx, func(ctx context.Context, tx Tx) error {
			records, err := r.Inbox.Lock(ctx, tx, r.name, inbox.Want{Lanes: []tidings.Lane{lane}})
			if err == nil {
				state = records.Lanes[0]
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("read lane %d: %w", n, err)
		}
		missing := map[uint64]bool{}
		for _, hole := range state.Holes {
			for i := hole.First; i <= hole.Last; i++ {
				missing[i] = true
			}
		}
		for i := uint64(1); i <= last; i++ {
			if missing[i] == arrived[i] {
				return fmt.Errorf("lane %d: number %d arrived: %v, but is recorded as missing: %v", n, i, arrived[i], missing[i])
			}
		}
		if state.Last != last {
			return fmt.Errorf("lane %d: last is %d, want %d", n, state.Last, last)
		}
	}
	return nil
}
