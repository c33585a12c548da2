package natsjs

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
)

// settle makes the workers fit the roster: it stops those whose partitions
// belong to others, gives up the leases of those that have ended, and takes the
// leases that are free. It returns an error if going on makes no sense.
func (se *session) settle(ctx context.Context) error {
	var release []*worker
	idle := se.idle()
	for _, c := range se.channels {
		for i := range c.partitions {
			p := place{c.name, i}
			w := se.workers[p]
			mine := !se.leaving && se.round.Err() == nil && se.roster.owner(p) == se.name
			switch {
			case w == nil && mine:
				if err := se.acquire(ctx, p); err != nil {
					return err
				}
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
	return nil
}

// acquire takes the lease of a partition, if it is free, and starts a worker.
func (se *session) acquire(ctx context.Context, p place) error {
	b := se.broker
	if b.conn.Status() != nats.CONNECTED {
		return nil
	}
	short, cancel := b.connected.bound(ctx, operationTime)
	defer cancel()
	c, err := b.channels.lookUp(short, p.channel)
	if permanent(err) {
		return err
	}
	found, revision, readErr := lease{}, uint64(0), error(nil)
	if err == nil {
		found, revision, readErr = se.leases.read(ctx, p)
	}
	if ctx.Err() != nil {
		return nil
	}
	if err = errors.Join(err, readErr); err != nil {
		b.log.Warn("NATS partition cannot be taken now", "subscriber", se.subscriber, "channel", p.channel, "error", err)
		return nil
	}
	if found.Holder != "" && found.Holder != se.name && se.roster.alive(found.Holder, found.Incarnation) {
		return nil
	}
	position := found.Position
	if revision > 0 && (position > c.last || !found.Stream.Equal(c.created)) {
		b.log.Warn("NATS stream was made anew or set back: reading it from the start",
			"subscriber", se.subscriber, "channel", p.channel, "partition", p.partition, "position", position, "last", c.last)
		position = 0
	}
	next := lease{Holder: se.name, Incarnation: se.incarnation, Position: position, Stream: c.created}
	revision, err = se.leases.write(ctx, p, next, revision)
	if errors.Is(err, errStale) {
		return nil // somebody was quicker
	}
	if err != nil {
		b.log.Warn("NATS partition cannot be taken now", "subscriber", se.subscriber, "channel", p.channel, "error", err)
		return nil
	}
	se.start(p, c, position, revision)
	return nil
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
	var all sync.WaitGroup
	limit := make(chan struct{}, 16)
	for i, w := range ws {
		limit <- struct{}{}
		all.Go(func() {
			defer func() { <-limit }()
			position := w.position()
			revision, err := se.leases.store(ctx, w.at, position, w.channel.created, keep, w.revision)
			if err == nil {
				w.revision, w.stored = revision, position
			}
			errs[i] = err
		})
	}
	all.Wait()
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
