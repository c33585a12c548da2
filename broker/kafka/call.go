package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example"
	"tidings.example/broker"
)

// A call is one call of Publish, until all its messages are reported.
type call struct {
	b    *Broker
	ctx  context.Context
	done func(i int, err error)
	now  time.Time
	// began is the time of the call on the clock Broker.failures: a topic that
	// failed later takes nothing more from it.
	began   uint64
	records []kgo.Record
	// refused are channels, and keys of a channel, of which a message was not
	// handed over; what follows is not handed over either.
	refused map[refusal]error

	// pending counts the messages not reported, and one for Publish itself.
	pending atomic.Int64
	// aborted is set once ctx is done, before the topics are aborted.
	aborted atomic.Bool
	stop    func() bool
	mu      sync.Mutex
	touched []*touch
}

type refusal struct {
	channel string
	key     string
	// whole is set for a channel as a whole.
	whole bool
}

func (b *Broker) newCall(ctx context.Context, done func(int, error), n int) *call {
	c := &call{b: b, ctx: ctx, done: done, now: time.Now(), began: b.failures.Load(), records: make([]kgo.Record, n)}
	c.pending.Store(1)
	c.stop = context.AfterFunc(ctx, c.abort)
	return c
}

// abort gives up what is on its way when the call's context is done.
func (c *call) abort() {
	c.aborted.Store(true)
	c.mu.Lock()
	touched := c.touched
	c.mu.Unlock()
	for _, t := range touched {
		t.abort(&c.b.failures)
	}
}

// touch returns the call's share in a channel's topic.
func (c *call) touch(channel string) *touch {
	for _, t := range c.touched {
		if t.name == channel {
			return t
		}
	}
	t := &touch{topic: c.b.topic(channel)}
	c.mu.Lock()
	c.touched = append(c.touched, t)
	c.mu.Unlock()
	return t
}

// hand hands over one message. An error means that it was not handed over, and
// that neither will what follows it be.
func (c *call) hand(i int, m *tidings.Message) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if err := c.refusal(m); err != nil {
		return err
	}
	r, err := c.b.config.Codec.Encode(m)
	if err != nil {
		return c.refuse(refusal{channel: m.Channel, key: m.OrderingKey()}, err)
	}
	fill(&c.records[i], &r, c.now)
	size := recordSize(&r)
	if err := c.b.budget.take(c.ctx, size); err != nil {
		return err
	}
	err = c.produce(i, c.touch(m.Channel), size)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, broker.ErrTooLarge):
		err = c.refuse(refusal{channel: m.Channel, key: m.OrderingKey()}, err)
	default:
		err = c.refuse(refusal{channel: m.Channel, whole: true}, err)
	}
	c.b.budget.give(size)
	return err
}

func (c *call) refusal(m *tidings.Message) error {
	if c.refused == nil {
		return nil
	}
	if c.refused[refusal{channel: m.Channel, whole: true}] != nil || c.refused[refusal{channel: m.Channel, key: m.OrderingKey()}] != nil {
		return errFollows
	}
	return nil
}

func (c *call) refuse(what refusal, err error) error {
	if c.refused == nil {
		c.refused = map[refusal]error{}
	}
	c.refused[what] = err
	return err
}

// limit waits for the topic's limit while the cluster does not answer.
func (c *call) limit(t *topic) (int, error) {
	for {
		limit, err := c.b.limit(c.ctx, t, c.now)
		switch {
		case err == nil:
			return limit, nil
		case errors.Is(err, errMissing), permanent(err):
			return 0, fmt.Errorf("channel %s: %w", t.name, err)
		case c.ctx.Err() != nil:
			return 0, c.ctx.Err()
		}
		timer := time.NewTimer(askPause)
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			timer.Stop()
			return 0, c.ctx.Err()
		}
	}
}

// produce gives the record to the client library, once the topic is ready.
func (c *call) produce(i int, t *touch, size int) error {
	for {
		limit, err := c.limit(t.topic)
		if err == nil {
			err = tooLarge(t.name, size, limit)
		}
		if err != nil {
			return err
		}
		t.mu.Lock()
		if err := c.mayHand(t.topic); err != nil {
			t.mu.Unlock()
			return err
		}
		if t.failed == nil {
			if t.limits.bytes.Load() > 0 {
				break
			}
			t.mu.Unlock() // forgotten in between
			continue
		}
		drained := t.drained
		t.mu.Unlock()
		select {
		case <-drained:
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
	}
	defer t.mu.Unlock()
	if t.stale {
		t.refresh(c.b.client)
	}
	t.outstanding++
	t.mine++
	c.pending.Add(1)
	c.b.client.Produce(t.ctx, &c.records[i], func(_ *kgo.Record, err error) { c.report(i, t, size, err) })
	return nil
}

// mayHand is called under the topic's lock: abort and fail, which take it as
// well, either come later and find the record, or are seen here.
func (c *call) mayHand(t *topic) error {
	switch {
	case c.aborted.Load():
		return c.ctx.Err()
	case t.failedAt > c.began && t.failed != nil:
		return fmt.Errorf("%w: %w", errFollows, t.failed)
	case t.failedAt > c.began:
		return errFollows
	}
	return nil
}

// report tells the publisher what became of a record. The topic takes new
// records after a failure only once that is done for all.
func (c *call) report(i int, t *touch, size int, err error) {
	if err != nil {
		err = c.explain(err)
		cause := err
		if c.ctx.Err() != nil {
			cause = errInterrupted // for others, whose contexts live on
		}
		t.fail(cause, &c.b.failures)
		err = fmt.Errorf("publish to Kafka: channel %s: %w", t.name, err)
	}
	c.done(i, err)
	c.b.budget.give(size)
	t.reported()
	c.release()
}

// explain replaces what the client library says of a topic that was cancelled.
func (c *call) explain(err error) error {
	switch {
	case c.ctx.Err() != nil:
		return c.ctx.Err()
	case errors.Is(err, context.Canceled):
		return errInterrupted
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return fmt.Errorf("%w: %w", errMissing, err)
	case errors.Is(err, kerr.MessageTooLarge):
		return fmt.Errorf("%w: %w", broker.ErrTooLarge, err)
	}
	return err
}

// release lets go of the context when the last message is reported.
func (c *call) release() {
	if c.pending.Add(-1) == 0 {
		c.stop()
	}
}
