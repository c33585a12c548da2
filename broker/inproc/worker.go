package inproc

import (
	"context"
	"sync"

	"tidings.example/broker"
	"tidings.example/broker/internal/acks"
)

// A worker delivers one partition to one member for as long as it has it.
type worker struct {
	member    *member
	at        place
	partition *partition
	position  *position
	first     int
	round     int
	cancel    context.CancelFunc

	mu      sync.Mutex
	tracker acks.Tracker
	open    int  // places in flight that are taken
	closed  bool // the partition was taken away: Ack does nothing
}

// batch bounds how many records are looked at together; only a disturbance
// makes a difference between them.
const batch = 32

func (w *worker) run(ctx context.Context) {
	defer w.close()
	for next := w.first; ; {
		records, order := w.take(ctx, next)
		if len(records) == 0 {
			return
		}
		// Positions count from 1, as the number of records up to and with this one.
		for i := range records {
			w.tracker.Deliver(uint64(next + i + 1))
		}
		planned := make(map[int]bool, len(order))
		for _, i := range order {
			planned[i] = true
		}
		for i := range records {
			if !planned[i] {
				w.ack(next + i + 1)
			}
		}
		for _, i := range order {
			select {
			case w.member.inFlight <- struct{}{}:
			case <-ctx.Done():
				return
			}
			w.deliver(ctx, records[i], next+i+1)
			if ctx.Err() != nil {
				return
			}
		}
		next += len(records)
	}
}

// take waits for records at or after next; it returns none when ctx is done.
func (w *worker) take(ctx context.Context, next int) (records []record, order []int) {
	b := w.member.broker
	for ctx.Err() == nil {
		b.mu.Lock()
		records, more := w.partition.records, w.partition.more
		if len(records) > next {
			records = records[next:min(len(records), next+batch)]
			order = b.faults.order(len(records))
			b.mu.Unlock()
			return records, order
		}
		b.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
		}
	}
	return nil, nil
}

func (w *worker) deliver(ctx context.Context, r record, position int) {
	w.mu.Lock()
	w.open++
	w.mu.Unlock()
	var once sync.Once
	w.member.deliver(ctx, broker.Delivery{
		Message: clone(&r.message),
		Err:     r.err,
		Ack: func() {
			once.Do(func() {
				if w.leave() {
					w.ack(position)
				}
			})
		},
	})
}

// leave frees a place in flight. It reports false when the partition was taken
// away, and the place freed, before.
func (w *worker) leave() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.open--
	<-w.member.inFlight
	return true
}

// ack stores how far the partition has been handled.
func (w *worker) ack(position int) {
	b := w.member.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.position.owner != w.member {
		return
	}
	w.tracker.Ack(uint64(position))
	if done, ok := w.tracker.Position(); ok {
		w.position.next = max(w.position.next, int(done))
	}
}

func (w *worker) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for ; w.open > 0; w.open-- {
		<-w.member.inFlight
	}
}
