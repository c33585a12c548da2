package natsjs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// memberTime is after which time a member that does not renew its entry is
// removed from the bucket. Members notice that one is dead long before.
const memberTime = time.Minute

// buckets opens the two buckets, creating them if they are missing.
func (b *Broker) buckets(ctx context.Context) (members, positions jetstream.KeyValue, err error) {
	members, err = b.bucket(ctx, jetstream.KeyValueConfig{
		Bucket:      b.names.membersBucket(),
		Description: "Tidings: who shares which subscriber",
		TTL:         memberTime,
		Replicas:    b.config.Replicas,
	})
	if err != nil {
		return nil, nil, err
	}
	positions, err = b.bucket(ctx, jetstream.KeyValueConfig{
		Bucket:      b.names.positionsBucket(),
		Description: "Tidings: how far each subscriber has got, and who reads on",
		Replicas:    b.config.Replicas,
	})
	return members, positions, err
}

func (b *Broker) bucket(ctx context.Context, c jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	since := time.Now()
	ctx, cancel := b.connected.bound(ctx, requestTime)
	defer cancel()
	kv, err := b.js.KeyValue(ctx, c.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = b.js.CreateKeyValue(ctx, c)
		if errors.Is(err, jetstream.ErrBucketExists) {
			kv, err = b.js.KeyValue(ctx, c.Bucket)
		}
	}
	if err != nil {
		err = b.explain(err, streamInfoSubject(bucketStream(c.Bucket)), since)
		return nil, fmt.Errorf("open bucket %q: %w", c.Bucket, b.explain(err, "$JS.API.STREAM.CREATE.", since))
	}
	return kv, nil
}
