package inboxtest

import (
	"context"
	"sync"

	"tidings.example"
	"tidings.example/broker"
)

// model is a broker with one partition, which delivers its log.
type model struct {
	log []record

	mu    sync.Mutex
	acked []bool
	// position is the record below which all were acknowledged when the last
	// subscription ended.
	position int
	acks     int
	cut      int // acknowledgements after which reached is closed; -1 for none
	reached  chan struct{}
}

func newModel(log []record) *model { return &model{log: log, acked: make([]bool, len(log))} }

// session prepares for a subscription that is to be cut off after n more
// acknowledgements, or, with -1, to go on until everything is acknowledged. The
// channel is closed when that point is reached.
func (b *model) session(n int) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acks, b.cut, b.reached = 0, n, make(chan struct{})
	b.progress()
	return b.reached
}

// progress is called with b.mu held.
func (b *model) progress() {
	all := true
	for _, acked := range b.acked[b.position:] {
		all = all && acked
	}
	if all || b.cut >= 0 && b.acks >= b.cut {
		select {
		case <-b.reached:
		default:
			close(b.reached)
		}
	}
}

// Subscribe delivers the log from the position.
func (b *model) Subscribe(ctx context.Context, _ broker.Subscription, deliver func(ctx context.Context, d broker.Delivery)) error {
	b.mu.Lock()
	clear(b.acked[b.position:])
	first := b.position
	b.mu.Unlock()
	for place := first; place < len(b.log) && ctx.Err() == nil; place++ {
		deliver(ctx, broker.Delivery{Message: copied(&b.log[place].m), Ack: func() { b.ack(place) }})
	}
	<-ctx.Done()
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.position < len(b.log) && b.acked[b.position] {
		b.position++
	}
	return nil
}

func (b *model) ack(place int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.acked[place] {
		b.acked[place] = true
		b.acks++
		b.progress()
	}
}

func copied(m *tidings.Message) tidings.Message { return *m }
