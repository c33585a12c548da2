package kafka

import (
	"context"
	"errors"
	"fmt"
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
	// now is when the call began.
	now time.Time
	// began is the time of the call on the clock Broker.failures: a topic that
	// failed later takes nothing more from it.
	began  uint64
	memory *memory
	// last is the topic of the message before: mostly that of the next one.
	last *topic
	// refused are channels, and keys of a channel, of which a message was not
	// handed over; what follows is not handed over either.
	refused map[refusal]bool

	// pending counts the messages not reported, and one for Publish itself.
	pending atomic.Int64
	// using counts the messages that a wave may have to do with, and one for
	// Publish itself. It does not come to 0 where a message failed.
	using atomic.Int64
	// aborted is set once ctx is done, before the queue is searched for what is
	// to be given up.
	aborted atomic.Bool
	stop    func() bool
}

// A refusal names a channel as a whole, or one key of it.
type refusal struct {
	channel, key string
	whole        bool
}

// outgoing is one message on its way.
type outgoing struct {
	record kgo.Record
	call   *call
	topic  *topic
	index  int
	size   int
	// reported is set when its publisher hears of it.
	reported atomic.Bool
	// stored is set by the client library's report, and read after the wave.
	stored bool
}

func (b *Broker) newCall(ctx context.Context, done func(int, error), n int) *call {
	c := &call{b: b, ctx: ctx, done: done, now: time.Now(), began: b.failures.Load(), memory: newMemory(n)}
	c.pending.Store(1)
	c.using.Store(1)
	c.stop = context.AfterFunc(ctx, func() {
		c.aborted.Store(true)
		b.queue.abort(c)
	})
	return c
}

// hand hands over one message. An error means that it was not handed over, and
// that neither will what follows it be.
func (c *call) hand(i int, m *tidings.Message) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if c.refused != nil && (c.refused[refusal{channel: m.Channel, whole: true}] || c.refused[refusal{channel: m.Channel, key: m.OrderingKey()}]) {
		return errFollows
	}
	r := &c.memory.record
	if err := broker.EncodeInto(c.b.config.Codec, r, m); err != nil {
		c.refuse(refusal{channel: m.Channel, key: m.OrderingKey()})
		return err
	}
	if c.last == nil || c.last.name != m.Channel {
		c.last = c.b.topic(m.Channel)
	}
	o := &c.memory.messages[i]
	o.call, o.topic, o.index, o.size = c, c.last, i, recordSize(r.Size(), len(r.Headers))
	c.memory.fill(&o.record, r, c.now)
	if err := c.b.budget.take(c.ctx, o.size); err != nil {
		return err
	}
	if err := c.enqueue(o); err != nil {
		c.b.budget.give(o.size)
		if errors.Is(err, broker.ErrTooLarge) {
			c.refuse(refusal{channel: m.Channel, key: m.OrderingKey()})
		} else {
			c.refuse(refusal{channel: m.Channel, whole: true})
		}
		return err
	}
	return nil
}

func (c *call) refuse(what refusal) {
	if c.refused == nil {
		c.refused = map[refusal]bool{}
	}
	c.refused[what] = true
}

// limit waits for the topic's limit while the cluster does not answer.
func (c *call) limit(t *topic) (int, error) {
	for {
		limit, err := c.b.limit(c.ctx, t, c.now)
		switch {
		case err == nil:
			return limit, nil
		case errors.Is(err, errMissing), permanent(err):
			return 0, err
		case c.ctx.Err() != nil:
			return 0, c.ctx.Err()
		}
		if wait(c.ctx, askPause); c.ctx.Err() != nil {
			return 0, c.ctx.Err()
		}
	}
}

// enqueue queues the message, once the topic takes messages.
func (c *call) enqueue(o *outgoing) error {
	t := o.topic
	for {
		limit, err := c.limit(t)
		if err != nil {
			return fmt.Errorf("channel %s: %w", t.name, err)
		}
		if err := tooLarge(t.name, o.size, limit); err != nil {
			return err
		}
		t.mu.Lock()
		drained := t.drained
		switch {
		case t.failedAt > c.began:
			err = errFollows
		case t.failed == nil:
			if err = c.b.queue.put(o); err == nil {
				t.outstanding++
			}
		default:
			t.mu.Unlock()
			select {
			case <-drained:
			case <-c.ctx.Done():
				return c.ctx.Err()
			}
			continue
		}
		t.mu.Unlock()
		return err
	}
}

// report tells the publisher what became of a message. The topic takes new
// messages after a failure only once that is done for all.
func (o *outgoing) report(err error) {
	c := o.call
	o.reported.Store(true)
	o.stored = err == nil
	if err != nil {
		c.using.Add(1) // the memory is not used again
		err = explain(err)
		cause := err
		if c.ctx.Err() != nil {
			cause, err = errInterrupted, c.ctx.Err() // cause is for others, whose contexts live on
		}
		o.topic.fail(cause, &c.b.failures)
		err = fmt.Errorf("publish to Kafka: channel %s: %w", o.topic.name, err)
	}
	c.done(o.index, err)
	c.b.budget.give(o.size)
	o.topic.reported()
	c.release()
}

// explain replaces what the client library says.
func explain(err error) error {
	switch {
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

// unused notes that n messages have nothing to do with a wave any more. It reports
// whether nobody uses the call's memory now.
func (c *call) unused(n int) bool { return c.using.Add(int64(-n)) == 0 }
