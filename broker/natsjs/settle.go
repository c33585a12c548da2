package natsjs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
)

// settle makes the workers fit the roster: it stops those whose partitions
// belong to others, gives up the leases of those that have ended, and takes the
// leases that are free. It returns an error if going on makes no sense.
func (se *session) settle(ctx context.Context) error {
	var release []*worker
	var take []place
	idle := se.idle()
	for _, c := range se.channels {
		for i := range c.partitions {
			p := place{c.name, i}
			w := se.workers[p]
			mine := !se.leaving && se.round.Err() == nil && se.roster.owner(p) == se.name
			switch {
			case w == nil && mine:
				take = append(take, p)
			case w == nil:
			case w.lost && w.ended:
				delete(se.workers, p)
			case w.ended:
				// At the end the positions are stored last, so that what is
				// acknowledged while others still deliver counts.
				if idle || !se.leaving {
					release = append(release, w)
				}
			case !mine:
				w.cancel()
			}
		}
	}
	se.release(ctx, release)
	return se.acquire(ctx, take)
}

// acquire takes the leases of partitions, where they are free, and starts
// workers.
func (se *session) acquire(ctx context.Context, ps []place) error {
	if len(ps) == 0 || se.broker.conn.Status() != nats.CONNECTED {
		return nil
	}
	streams, err := se.lookUp(ctx, ps)
	if err != nil {
		return err
	}
	revisions, positions := make([]uint64, len(ps)), make([]uint64, len(ps))
	inParallel(len(ps), func(i int) {
		c := streams[ps[i].channel]
		if c == nil {
			return
		}
		var err error
		if positions[i], revisions[i], err = se.take(ctx, ps[i], c); err != nil && ctx.Err() == nil {
			se.broker.log.Warn("NATS partition cannot be taken now", "subscriber", se.subscriber,
				"channel", c.name, "partition", ps[i].partition, "error", err)
		}
	})
	for i, p := range ps {
		if revisions[i] > 0 {
			se.start(p, streams[p.channel], positions[i], revisions[i])
		}
	}
	return nil
}

// lookUp asks what has become of the partitions' streams. A channel that
// cannot be looked up now is left out.
func (se *session) lookUp(ctx context.Context, ps []place) (map[string]*channel, error) {
	b := se.broker
	var names []string
	for _, p := range ps {
		if !slices.Contains(names, p.channel) {
			names = append(names, p.channel)
		}
	}
	found, errs := make([]*channel, len(names)), make([]error, len(names))
	inParallel(len(names), func(i int) {
		ctx, cancel := b.connected.bound(ctx, operationTime)
		defer cancel()
		found[i], errs[i] = b.channels.lookUp(ctx, names[i])
	})
	streams := make(map[string]*channel, len(names))
	for i, name := range names {
		switch err := errs[i]; {
		case err == nil:
			streams[name] = found[i]
		case permanent(err):
			return nil, err
		case ctx.Err() == nil:
			b.log.Warn("NATS partitions cannot be taken now", "subscriber", se.subscriber, "channel", name, "error", err)
		}
	}
	return streams, nil
}

// take takes one lease. The revision is 0 if it is not to be had.
func (se *session) take(ctx context.Context, p place, c *channel) (position, revision uint64, err error) {
	found, revision, err := se.leases.read(ctx, p)
	if err != nil {
		return 0, 0, err
	}
	if found.Holder != "" && found.Holder != se.name && se.roster.alive(found.Holder, found.Incarnation) {
		return 0, 0, nil
	}
	position = found.Position
	if revision > 0 && (position > c.last || !found.Stream.Equal(c.created)) {
		se.broker.log.Warn("NATS stream was made anew or set back: reading it from the start",
			"subscriber", se.subscriber, "channel", p.channel, "partition", p.partition, "position", position, "last", c.last)
		position = 0
	}
	next := lease{Holder: se.name, Incarnation: se.incarnation, Position: position, Stream: c.created}
	revision, err = se.leases.write(ctx, p, next, revision)
	if errors.Is(err, errStale) {
		return 0, 0, nil // somebody was quicker
	}
	return position, revision, err
}

func (se *session) start(p place, c *channel, position, revision uint64) {
	ctx, cancel := context.WithCancel(se.round)
	w := &worker{session: se, at: p, channel: c, cancel: cancel, revision: revision, stored: position}
	se.workers[p] = w
	se.running.Go(func() {
		defer cancel()
		w.err = w.run(ctx, position)
		select {
		case se.ended <- w:
		case <-se.aside.Done():
		}
	})
}

// noteLease takes note of a lease as it is stored. It reports whether there is
// something to do.
func (se *session) noteLease(e leaseEvent) bool {
	w := se.workers[e.place]
	if w == nil {
		return e.lease.Holder == ""
	}
	if e.revision > w.revision && e.lease.Incarnation != se.incarnation {
		se.lose(w)
		return true
	}
	return false
}

func (se *session) lose(w *worker) {
	if !w.lost {
		se.broker.log.Warn("NATS partition was taken over by another member",
			"subscriber", se.subscriber, "channel", w.at.channel, "partition", w.at.partition)
	}
	w.lost = true
	w.cancel()
}

// savePositions stores the positions that have changed since the last time.
func (se *session) savePositions(ctx context.Context) {
	var changed []*worker
	for _, w := range se.workers {
		if !w.ended && !w.lost && w.position() != w.stored {
			changed = append(changed, w)
		}
	}
	se.storeAll(ctx, changed, true)
}

// release gives up leases, with the positions that were reached.
func (se *session) release(ctx context.Context, ws []*worker) {
	for w := range se.storeAll(ctx, ws, false) {
		delete(se.workers, w.at)
	}
}

// storeAll stores the positions of several workers at the same time. It
// returns those for which that is done with.
func (se *session) storeAll(ctx context.Context, ws []*worker, keep bool) map[*worker]bool {
	if len(ws) == 0 || se.broker.conn.Status() != nats.CONNECTED {
		return nil
	}
	errs := make([]error, len(ws))
	inParallel(len(ws), func(i int) {
		w := ws[i]
		position := w.position()
		revision, err := se.leases.store(ctx, w.at, position, w.channel.created, keep, w.revision)
		if err == nil {
			w.revision, w.stored = revision, position
		}
		errs[i] = err
	})
	done := map[*worker]bool{}
	for i, w := range ws {
		switch {
		case errs[i] == nil:
			done[w] = true
		case errors.Is(errs[i], errLeaseLost):
			se.lose(w)
			done[w] = true
		default:
			se.broker.log.Warn("NATS position could not be stored now", "subscriber", se.subscriber,
				"channel", w.at.channel, "partition", w.at.partition, "error", fmt.Errorf("store position: %w", errs[i]))
		}
	}
	return done
}

// inParallel calls do with the numbers below n, sixteen at a time.
func inParallel(n int, do func(i int)) {
	var all sync.WaitGroup
	limit := make(chan struct{}, 16)
	for i := range n {
		limit <- struct{}{}
		all.Go(func() {
			defer func() { <-limit }()
			do(i)
		})
	}
	all.Wait()
}
