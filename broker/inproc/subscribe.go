package inproc

import (
	"context"
	"sync"

	"tidings.example/broker"
)

// A member is one running call of Subscribe.
type member struct {
	broker   *Broker
	group    *group
	channels []string
	deliver  func(ctx context.Context, d broker.Delivery)
	inFlight chan struct{}
	workers  map[place]*worker // guarded by the broker's mutex
	running  sync.WaitGroup
}

// Subscribe implements broker.Subscriber. It never fails once the subscription
// has been found to be in order.
func (b *Broker) Subscribe(ctx context.Context, s broker.Subscription, deliver func(ctx context.Context, d broker.Delivery)) error {
	s, err := s.Complete()
	if err != nil {
		return err
	}
	m := &member{
		broker:   b,
		channels: s.Channels,
		deliver:  deliver,
		inFlight: make(chan struct{}, s.MaxInFlight),
		workers:  map[place]*worker{},
	}
	b.mu.Lock()
	m.group = b.group(s.Subscriber)
	m.group.members = append(m.group.members, m)
	m.group.wake()
	b.mu.Unlock()
	for ctx.Err() == nil {
		select {
		case <-m.settle(ctx):
		case <-ctx.Done():
		}
	}
	// The workers end with ctx, each after its deliver has returned.
	m.running.Wait()
	b.mu.Lock()
	m.group.leave(m)
	b.mu.Unlock()
	return nil
}

// settle starts and stops workers so that they fit the group as it is now. It
// returns the channel that is closed when the group changes.
func (m *member) settle(ctx context.Context) (changed <-chan struct{}) {
	b := m.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	cut := b.faults.restored != nil
	for _, name := range m.channels {
		for i, p := range b.channel(name) {
			at := place{name, i}
			mine := !cut && m.group.belongs(at, m)
			if w := m.workers[at]; w != nil {
				if !mine || w.round != m.group.round {
					w.cancel()
				}
				continue
			}
			if pos := m.group.position(at); mine && pos.owner == nil && ctx.Err() == nil {
				pos.owner = m
				m.start(ctx, at, p, pos)
			}
		}
	}
	return m.group.changed
}

// start starts a worker. The broker's mutex is held.
func (m *member) start(ctx context.Context, at place, p *partition, pos *position) {
	ctx, cancel := context.WithCancel(ctx)
	w := &worker{member: m, at: at, partition: p, position: pos, first: pos.next, round: m.group.round, cancel: cancel}
	m.workers[at] = w
	m.running.Go(func() {
		defer cancel()
		w.run(ctx)
		m.broker.mu.Lock()
		defer m.broker.mu.Unlock()
		delete(m.workers, at)
		pos.owner = nil
		m.group.wake()
	})
}
