package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example"
	"tidings.example/broker"
)

// producerOptions are those of the client that publishes. A record is tried
// until its context ends: retries are not bounded. Batches are lz4: fewer bytes
// at a cost that is hardly seen.
func (b *Broker) producerOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// The end of a publisher's context fails records whose outcome is not
		// known, as well: they may be stored all the same, and are then
		// repeated, in order. Without this a publisher could not stop while
		// the cluster is away.
		kgo.AllowIdempotentProduceCancellation(),
		kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
			return func(r *kgo.Record, n int) int { return int(tidings.PositiveHash(string(r.Key))) % n }
		})),
		kgo.WithCompressor(&lz4Frames{}),
		kgo.ProducerBatchMaxBytesFn(b.batchLimit),
		kgo.ProducerLinger(0),
		kgo.ManualFlushing(),            // by the pump
		kgo.MaxBufferedRecords(1 << 30), // the budget bounds what is buffered
		kgo.UnknownTopicRetries(8),
	}
}

// Check implements [broker.Publisher]. It asks the cluster for max.message.bytes
// of a channel that it meets for the first time, and again every minute.
func (b *Broker) Check(ctx context.Context, m *tidings.Message) error {
	bytes, headers, err := broker.Measure(b.config.Codec, m)
	if err != nil {
		return err
	}
	limit, err := b.limit(ctx, b.topic(m.Channel), time.Now())
	if err != nil {
		limit = maxBatch // the cluster is away or has no such topic: not for ever
	}
	return tooLarge(m.Channel, recordSize(bytes, headers), limit)
}

// errFollows is for messages whose predecessor in the channel failed.
var errFollows = errors.New("an earlier message of the channel failed")

// errInterrupted is for messages that were given up because another publisher
// stopped.
var errInterrupted = errors.New("another publisher stopped while the message was on its way with its own")

// Publish implements [broker.Publisher]. It blocks while 8,192 messages or 8 MiB
// are on their way.
//
// When a message fails, all messages of its channel that are on their way and
// not stored may fail with it, those of other callers included. Messages fail
// when their context, or that of another publisher of the channel, is done; when
// the topic does not exist; when permission is missing; and when the cluster
// refuses one for its size or content.
//
// Messages are sent in waves: what has come in while one wave is on its way
// makes the next. So one partition that has no leader holds up the others.
//
// One window is left. The client library may begin to send a wave while it is
// still being given the rest. If the cluster then refuses that beginning for its
// content (INVALID_RECORD, POLICY_VIOLATION), and answers before the rest is
// given, which takes microseconds, a later message of the key may be stored
// before the refused one is published again.
func (b *Broker) Publish(ctx context.Context, ms []*tidings.Message, done func(i int, err error)) {
	if len(ms) == 0 {
		return
	}
	c := b.newCall(ctx, done, len(ms))
	for i, m := range ms {
		if err := c.hand(i, m); err != nil {
			done(i, fmt.Errorf("publish to Kafka: %w", err))
		}
	}
	c.release()
	if c.unused(1) {
		c.memory.recycle()
	}
}

// pump sends waves until the queue is closed.
//
// The client library fails all records of a partition together, which keeps
// their order. But it reports the failures one by one, later, and would take
// and store the next record of the partition in between. So it is given nothing
// while anything is on its way, and told to send when it has the whole wave.
func (b *Broker) pump() {
	for {
		ctx, wave, ok := b.queue.next()
		if !ok {
			return
		}
		b.send(ctx, wave)
		b.queue.end()
	}
}

// send returns when every message of the wave is reported.
func (b *Broker) send(ctx context.Context, wave []*outgoing) {
	for _, o := range wave {
		if o.topic.stale.Load() && o.topic.stale.Swap(false) {
			b.client.PurgeTopicsFromProducing(o.topic.name)
		}
		if o.topic.failure() != nil {
			o.report(errFollows)
			continue
		}
		b.client.Produce(ctx, &o.record, func(_ *kgo.Record, err error) { o.report(err) })
	}
	// Its context does not end: messages are given up by the wave's context,
	// and by closing the client.
	if err := b.client.Flush(context.Background()); err != nil {
		b.config.Logger.Error("flush Kafka client", "err", err)
	}
	for _, o := range wave {
		o.topic.introduced = o.topic.introduced || o.stored
	}
}
