package natsjs

import (
	"context"
	"fmt"

	"tidings.example"
)

// A lane is what keeps its order.
type lane = tidings.Lane

// A call is one call of Publish.
type call struct {
	ctx  context.Context
	done func(i int, err error)
	// failed holds the lanes of which a message failed while the call was
	// running: the rest of them must fail too, since they were handed over
	// before the caller heard of it. The publisher's mutex guards it.
	failed map[lane]error
	// open counts the messages that are not reported yet, plus one while
	// messages are still being added.
	open int
	// unwatch ends the watch over ctx.
	unwatch func() bool
}

func (c *call) fail(l lane, err error) {
	if c.failed == nil {
		c.failed = map[lane]error{}
	}
	c.failed[l] = err
}

// Publish implements broker.Publisher. Messages go out at once; of each lane
// one at a time, the next when the server has acknowledged the
// one before. A message that got lost on the way, or whose acknowledgement did,
// is sent again for as long as ctx lives. A refusal by the server is tried
// again for half a minute if it may pass, and then reported.
func (b *Broker) Publish(ctx context.Context, ms []*tidings.Message, done func(i int, err error)) {
	if len(ms) == 0 {
		return
	}
	p := b.publisher
	c := &call{ctx: ctx, done: done, open: 1}
	p.begin(c)
	for i, m := range ms {
		it := &item{call: c, index: i, lane: m.OrderLane()}
		if err := b.prepare(ctx, it, m); err != nil {
			p.refuse(it, fmt.Errorf("publish message %s: %w", m.ID, err))
			continue
		}
		p.add(it)
	}
	p.end(c)
}

// prepare encodes a message and waits until there is room for it.
func (b *Broker) prepare(ctx context.Context, it *item, m *tidings.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := b.channelFor(ctx, m.Channel)
	if err != nil {
		return err
	}
	if it.msg, err = b.encode(m, c); err != nil {
		return err
	}
	_, size := sizes(it.msg)
	weight := int64(min(size+itemWeight, roomWeight))
	if err := b.publisher.room.Acquire(ctx, weight); err != nil {
		return err
	}
	it.weight = weight
	return nil
}

// channelFor looks a channel up, for as long as it takes.
func (b *Broker) channelFor(ctx context.Context, name string) (*channel, error) {
	for attempt := 0; ; attempt++ {
		c, err := b.channels.get(ctx, name)
		if err == nil {
			return c, nil
		}
		if b.conn.IsClosed() {
			return nil, ErrClosed
		}
		if permanent(err) {
			return nil, err
		}
		if pause(ctx, attempt, b.connected.wait()) != nil {
			return nil, fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}
