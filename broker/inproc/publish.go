package inproc

import (
	"context"
	"fmt"

	"tidings.example"
	"tidings.example/broker"
)

// A lane is what keeps its order.
type lane = tidings.Lane

// A call is a call of Publish that has stored nothing yet. Its messages were
// handed over before the failures that are reported meanwhile.
type call struct{ failed map[lane]bool }

func (b *Broker) begin() *call {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &call{failed: map[lane]bool{}}
	b.faults.calls[c] = true
	return c
}

// A report is a call of done that is due.
type report struct {
	done func(i int, err error)
	i    int
	err  error
	lane lane
}

// Check returns an error for an invalid message and for one that is too large.
func (b *Broker) Check(_ context.Context, m *tidings.Message) error {
	if err := m.Validate(); err != nil {
		return err
	}
	if m.Source == "" {
		return &tidings.InvalidError{Field: "source", Rule: "is empty"}
	}
	if size := sizeOf(m); size > b.maxMessage {
		return fmt.Errorf("message %s has %d bytes, more than %d: %w", m.ID, size, b.maxMessage, broker.ErrTooLarge)
	}
	return nil
}

func sizeOf(m *tidings.Message) int {
	size := len(m.ID) + len(m.Source) + len(m.Key) + len(m.Type) + len(m.Subject) + len(m.ContentType) + len(m.Payload)
	for name, value := range m.Headers {
		size += len(name) + len(value)
	}
	return size
}

// Publish stores the messages at once. done is called before it returns,
// unless acknowledgements are held. While the broker is cut off it blocks.
func (b *Broker) Publish(ctx context.Context, ms []*tidings.Message, done func(i int, err error)) {
	c := b.begin()
	err := b.reachable(ctx)
	b.publishing.Lock()
	defer b.publishing.Unlock()
	b.mu.Lock()
	delete(b.faults.calls, c)
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("publish: %w", ctx.Err())
	}
	reports := make([]report, len(ms))
	for i, m := range ms {
		reports[i] = b.publishOne(c, m, err)
		reports[i].done, reports[i].i = done, i
	}
	hold := b.faults.hold > 0
	if hold {
		b.faults.held = append(b.faults.held, reports...)
	}
	b.mu.Unlock()
	if !hold {
		b.report(reports)
	}
}

// publishOne stores a message, or says why not. b.mu is held.
func (b *Broker) publishOne(c *call, m *tidings.Message, err error) report {
	l := m.OrderLane()
	fault := b.faults.next()
	switch {
	case err != nil:
	case b.faults.failing[l] > 0 || c.failed[l]:
		// Handed over before the failure of an earlier one was reported.
		err = fmt.Errorf("publish message %s: an earlier one of its lane failed", m.ID)
	case fault.err != nil && !fault.stored:
		err = fault.err
	default:
		b.store(m.OrderingKey(), record{message: clone(m)})
		err = fault.err
	}
	if err != nil {
		b.faults.failing[l]++
	}
	return report{err: err, lane: l}
}

// report calls done; from then on messages of the lanes that failed are taken
// again. b.publishing is held, so that none of them is stored in between.
func (b *Broker) report(reports []report) {
	b.mu.Lock()
	for _, r := range reports {
		if r.err == nil {
			continue
		}
		if b.faults.failing[r.lane]--; b.faults.failing[r.lane] == 0 {
			delete(b.faults.failing, r.lane)
		}
		for c := range b.faults.calls {
			c.failed[r.lane] = true
		}
	}
	b.mu.Unlock()
	for _, r := range reports {
		r.done(r.i, r.err)
	}
}

// reachable waits while the broker is cut off.
func (b *Broker) reachable(ctx context.Context) error {
	for {
		b.mu.Lock()
		restored := b.faults.restored
		b.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if restored == nil {
			return nil
		}
		select {
		case <-restored:
		case <-ctx.Done():
		}
	}
}
