package inbox

import (
	"context"
	"sync"
	"time"

	"tidings.example"
)

// An item is a delivery on its way through the inbox.
type item struct {
	m *tidings.Message
	// ctx ends when the broker takes the delivery's partition away.
	ctx context.Context
	ack func()
	// attempts is how often the handler was called, faults how many of these
	// count against MaxAttempts, failures how many failures there were in all.
	attempts, faults, failures int
	// park, if not empty, says why the message is to be parked instead of handled.
	park string
	// failure, if not nil, is the handler's last error: GiveUp is asked before
	// the message is parked for it.
	failure error
}

// A slot is what keeps its order in the inbox: a lane, whatever its epoch, or,
// for messages without one, a key.
type slot struct {
	source, channel string
	lane            int // -1 for messages without a lane
	key             string
}

func slotOf(m *tidings.Message) slot {
	if lane, ok := m.Lane(); ok {
		return slot{source: lane.Source, channel: lane.Channel, lane: lane.N}
	}
	return slot{source: m.Source, channel: m.Channel, lane: -1, key: m.OrderingKey()}
}

// A queue holds the items of one slot. It is in at most one place: in the
// dispatcher's list of those that are ready, with a worker, or waiting for its timer.
type queue struct {
	slot  slot
	items []*item
	// taken are the first items while a worker has them.
	taken []*item
	// alone is how many of the first items must not share a transaction.
	alone int
}

// A dispatcher gives queues to workers, each queue to one at a time.
type dispatcher struct {
	batchSize, batchBytes int
	// room has one element for each message in memory.
	room chan struct{}

	mu      sync.Mutex
	changed sync.Cond
	queues  map[slot]*queue
	ready   []*queue
	waiting map[*queue]*time.Timer
	stopped bool
	closed  chan struct{} // closed by stop
}

func newDispatcher(batchSize, batchBytes, maxInFlight int) *dispatcher {
	d := &dispatcher{
		batchSize: batchSize, batchBytes: batchBytes,
		room:    make(chan struct{}, maxInFlight),
		queues:  map[slot]*queue{},
		waiting: map[*queue]*time.Timer{},
		closed:  make(chan struct{}),
	}
	d.changed.L = &d.mu
	return d
}

// put adds an item behind those of its slot. It blocks while there is no room,
// and, after stop, until the item's context is done; it then forgets the item.
func (d *dispatcher) put(it *item) {
	select {
	case d.room <- struct{}{}:
	case <-it.ctx.Done():
		return
	case <-d.closed:
		// Returning at once would only make the broker send the next one.
		<-it.ctx.Done()
		return
	}
	d.mu.Lock()
	if d.stopped {
		d.mu.Unlock()
		<-it.ctx.Done()
		return
	}
	defer d.mu.Unlock()
	s := slotOf(it.m)
	q := d.queues[s]
	if q == nil {
		q = &queue{slot: s}
		d.queues[s] = q
		d.makeReady(q)
	}
	q.items = append(q.items, it)
}

// makeReady is called with d.mu held.
func (d *dispatcher) makeReady(q *queue) {
	d.ready = append(d.ready, q)
	d.changed.Signal()
}

// take returns queues with the items that a worker is to handle now, in one
// transaction, in order; none after stop. The worker owns the queues until it
// gives them back.
func (d *dispatcher) take() []*queue {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		for len(d.ready) == 0 && !d.stopped {
			d.changed.Wait()
		}
		if d.stopped {
			return nil
		}
		if qs := d.collect(); len(qs) > 0 {
			return qs
		}
	}
}

// collect fills a batch from the queues that are ready.
func (d *dispatcher) collect() (batch []*queue) {
	items, bytes := 0, 0
	for len(d.ready) > 0 && items < d.batchSize && bytes < d.batchBytes {
		q := d.ready[0]
		d.dropRevoked(q)
		if q.alone > 0 && items > 0 {
			break // it is the next worker's
		}
		d.ready[0] = nil
		d.ready = d.ready[1:]
		if len(q.items) == 0 {
			delete(d.queues, q.slot)
			continue
		}
		n := 0
		for n < len(q.items) && items < d.batchSize && bytes < d.batchBytes {
			bytes += len(q.items[n].m.Payload)
			items++
			n++
			if q.alone > 0 {
				items = d.batchSize
			}
		}
		q.taken = q.items[:n:n]
		batch = append(batch, q)
	}
	if len(d.ready) > 0 {
		d.changed.Signal()
	}
	return batch
}

// dropRevoked forgets the items whose partition was taken away: they come
// again, here or elsewhere.
func (d *dispatcher) dropRevoked(q *queue) {
	kept := q.items[:0]
	alone := q.alone
	for i, it := range q.items {
		if it.ctx.Err() == nil {
			kept = append(kept, it)
			continue
		}
		<-d.room
		if i < alone {
			q.alone--
		}
	}
	clear(q.items[len(kept):])
	q.items = kept
}

// done takes back queues whose taken items are finished with.
func (d *dispatcher) done(qs []*queue) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, q := range qs {
		n := len(q.taken)
		for range n {
			<-d.room
		}
		clear(q.items[:n])
		q.items = q.items[n:]
		q.alone = max(0, q.alone-n)
		d.giveBack(q)
	}
}

// split takes back queues whose taken items are to be handled one by one.
func (d *dispatcher) split(qs []*queue) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, q := range qs {
		q.alone = len(q.taken)
		d.giveBack(q)
	}
}

// pause takes back a queue whose first item is to be tried again after a while.
func (d *dispatcher) pause(q *queue, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q.taken = nil
	q.alone = max(1, q.alone)
	if d.stopped {
		return
	}
	d.waiting[q] = time.AfterFunc(wait, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.waiting, q)
		if !d.stopped {
			d.makeReady(q)
		}
	})
}

// giveBack is called with d.mu held.
func (d *dispatcher) giveBack(q *queue) {
	q.taken = nil
	if len(q.items) == 0 {
		delete(d.queues, q.slot)
		return
	}
	d.makeReady(q)
}

// stop makes take return nothing from now on, and forgets what nobody has begun.
func (d *dispatcher) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return
	}
	d.stopped = true
	close(d.closed)
	for q, timer := range d.waiting {
		timer.Stop()
		delete(d.waiting, q)
	}
	d.ready = nil
	d.changed.Broadcast()
}

func (d *dispatcher) load() (inFlight, waiting int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.room), len(d.waiting)
}
