package natsjs

import (
	"context"
	"sync"

	"tidings.example/broker"
	"tidings.example/broker/internal/acks"
)

// A worker delivers one partition while this member has its lease.
type worker struct {
	session *session
	at      place
	channel *channel
	cancel  context.CancelFunc
	tracker acks.Tracker

	// What follows belongs to the session's loop: the lease's revision and
	// position as they are stored, whether the worker has ended, why, and
	// whether somebody else has the lease.
	revision uint64
	stored   uint64
	ended    bool
	err      error
	lost     bool

	mu     sync.Mutex
	open   int  // places in flight that are taken
	closed bool // all places were given back
}

// run delivers until ctx is done. from is the position after which to start.
func (w *worker) run(ctx context.Context, from uint64) error {
	defer w.close()
	b := w.session.broker
	r := b.reader(w.channel.stream, b.names.subject(w.at.channel, w.at.partition), from+1)
	return r.read(ctx, func(rec record) { w.handle(ctx, rec) })
}

func (w *worker) handle(ctx context.Context, rec record) {
	select {
	case w.session.inFlight <- struct{}{}:
	case <-ctx.Done():
		return
	}
	if ctx.Err() != nil {
		<-w.session.inFlight
		return
	}
	w.mu.Lock()
	w.open++
	w.mu.Unlock()
	w.tracker.Deliver(rec.sequence)
	d := broker.Delivery{Ack: func() { w.ack(rec.sequence) }}
	d.Message, d.Err = w.session.broker.decode(w.at, rec)
	w.session.deliver(ctx, d)
}

// ack may come at any time, also after the partition was taken away: as long
// as the position was not given up, it still counts.
func (w *worker) ack(sequence uint64) {
	if !w.tracker.Ack(sequence) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.open--
		<-w.session.inFlight
	}
}

// close gives back the places of all that was not acknowledged.
func (w *worker) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for ; w.open > 0; w.open-- {
		<-w.session.inFlight
	}
}

// position is how far everything was acknowledged.
func (w *worker) position() uint64 {
	if p, ok := w.tracker.Position(); ok {
		return p
	}
	return w.stored
}
