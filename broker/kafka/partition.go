package kafka

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example/broker"
	"tidings.example/broker/internal/acks"
)

// Bounds on the records that a subscription has fetched and not delivered, in
// bytes of keys, headers and values.
const (
	queueBytes    = 32 << 20
	minQueueBytes = 256 << 10
)

// A partition delivers the records of one partition, one after the other, for
// as long as this member holds it.
type partition struct {
	place
	sub    *subscription
	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}
	// room is how many bytes may be queued before fetching is paused.
	room atomic.Int64

	mu     sync.Mutex
	queue  []*kgo.Record
	bytes  int64
	paused bool
	// more has a value when the queue may have grown.
	more chan struct{}

	// acking guards dropped, so that no position is read too early: an
	// acknowledgement comes before the last one, or is ignored.
	acking  sync.Mutex
	acks    acks.Tracker
	dropped bool
	// committed is the last position that the cluster has confirmed; it is
	// guarded by subscription.committing.
	committed uint64
}

func newPartition(sub *subscription, at place) *partition {
	p := &partition{place: at, sub: sub, ended: make(chan struct{}), more: make(chan struct{}, 1)}
	p.room.Store(queueBytes)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// push queues records. Beyond the room fetching is paused, for this partition
// alone: its handler may be stuck, those of the others are not.
func (p *partition) push(records []*kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, records...)
	for _, r := range records {
		p.bytes += recordBytes(r)
	}
	if !p.paused && p.bytes > p.room.Load() {
		p.paused = true
		p.sub.client.PauseFetchPartitions(map[string][]int32{p.topic: {p.n}})
	}
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// pop returns the next record, or nil. Fetching goes on when half is free.
func (p *partition) pop() *kgo.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return nil
	}
	r := p.queue[0]
	p.queue[0] = nil
	p.queue = p.queue[1:]
	p.bytes -= recordBytes(r)
	if p.paused && p.bytes <= p.room.Load()/2 {
		p.paused = false
		p.sub.client.ResumeFetchPartitions(map[string][]int32{p.topic: {p.n}})
	}
	return r
}

// work delivers until the partition is taken away.
func (p *partition) work() {
	defer close(p.ended)
	defer p.resume()
	for p.ctx.Err() == nil {
		r := p.pop()
		if r == nil {
			select {
			case <-p.more:
			case <-p.ctx.Done():
			}
			continue
		}
		select {
		case p.sub.slots <- struct{}{}:
			p.hand(r)
		case <-p.ctx.Done():
		}
	}
}

// resume leaves no pause behind: it would still hold when the partition comes
// back to this member.
func (p *partition) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = nil
	if p.paused {
		p.sub.client.ResumeFetchPartitions(map[string][]int32{p.topic: {p.n}})
	}
	p.paused = true // push must not pause it again
}

func (p *partition) hand(r *kgo.Record) {
	position := uint64(r.Offset) + 1 // what Kafka calls committed: the next to read
	p.acking.Lock()
	if p.dropped {
		// Given up while this worker ignored its context until now.
		p.acking.Unlock()
		<-p.sub.slots
		return
	}
	p.acks.Deliver(position)
	p.acking.Unlock()
	m, err := p.sub.b.decode(r)
	p.sub.deliver(p.ctx, broker.Delivery{Message: m, Err: err, Ack: func() { p.ack(position) }})
}

func (p *partition) ack(position uint64) {
	p.acking.Lock()
	news := !p.dropped && p.acks.Ack(position)
	p.acking.Unlock()
	if news {
		<-p.sub.slots
	}
}

// drop ends the counting of acknowledgements and frees the slots of those that
// have not come.
func drop(gone []*partition) []*partition {
	for _, p := range gone {
		p.acking.Lock()
		p.dropped = true
		open := p.acks.Outstanding()
		p.acking.Unlock()
		for range open {
			<-p.sub.slots
		}
	}
	return gone
}

func recordBytes(r *kgo.Record) int64 {
	n := 64 + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += 48 + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return int64(n)
}
