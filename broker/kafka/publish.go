package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example"
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
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytesFn(b.batchLimit),
		kgo.ProducerLinger(0),
		// The budget bounds what is buffered. These bounds must never be
		// reached: a record is handed over under a lock.
		kgo.MaxBufferedRecords(1 << 30),
		kgo.UnknownTopicRetries(8),
	}
}

// Check implements [broker.Publisher]. It asks the cluster for max.message.bytes
// of a channel that it meets for the first time, and again every minute.
func (b *Broker) Check(ctx context.Context, m *tidings.Message) error {
	r, err := b.config.Codec.Encode(m)
	if err != nil {
		return err
	}
	limit, err := b.limit(ctx, b.topic(m.Channel), time.Now())
	if err != nil {
		limit = maxBatch // the cluster is away or has no such topic: not for ever
	}
	return tooLarge(m.Channel, recordSize(&r), limit)
}

// errFollows is for messages whose predecessor in the channel failed.
var errFollows = errors.New("an earlier message of the channel failed")

// errInterrupted is for messages that the client library gave up because
// another publisher of the channel stopped.
var errInterrupted = errors.New("another publisher of the channel stopped before the message was stored")

// Publish implements [broker.Publisher]. It blocks while 8,192 messages or 8 MiB
// are on their way.
//
// When a message fails, all messages of its channel that are on their way and
// not stored fail with it, those of other callers included. Messages fail
// when their context, or that of another publisher of the channel, is done; when
// the topic does not exist; when permission is missing; and when the cluster
// refuses one for its size or content.
//
// One window is left: when the cluster itself refuses a record for its content
// (INVALID_RECORD or POLICY_VIOLATION by a plug-in of the server, or a limit
// that was lowered within the last minute), a message of the same key that is
// handed over in the microseconds between the cluster's answer and the call of
// done may be stored before the refused one is published again.
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
}
