package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"tidings.example"
	"tidings.example/broker"
)

const (
	// defaultLimit is Kafka's default of max.message.bytes, taken where the
	// cluster does not let us ask.
	defaultLimit = 1048588
	// maxBatch bounds a batch of records where a topic takes even larger ones:
	// the largest message that Tidings allows, with its headers.
	maxBatch = tidings.MaxPayload + tidings.MaxHeaders*(tidings.MaxHeaderValue+128) + 64<<10
	// limitAge is for how long a limit is believed.
	limitAge = time.Minute
	// askTimeout bounds one question to the cluster; askPause is how long after
	// a failed one the next is put.
	askTimeout = 5 * time.Second
	askPause   = time.Second
)

// errMissing says that a topic does not exist.
var errMissing = errors.New("topic does not exist; create it, or set create=true in the URL")

// limit returns the size that a record of the topic may have. It asks the
// cluster if that is not known. An old answer is used while a new one is on
// its way.
func (b *Broker) limit(ctx context.Context, t *topic, now time.Time) (int, error) {
	if t.limits.fresh(now) {
		if known := t.limits.bytes.Load(); known > 0 {
			return int(known), nil
		}
	}
	if known := t.limits.bytes.Load(); known > 0 {
		b.refreshLimit(t)
		return int(known), nil
	}
	t.limits.asking.Lock()
	defer t.limits.asking.Unlock()
	if known := t.limits.bytes.Load(); known > 0 {
		return int(known), nil
	}
	if t.limits.fresh(time.Now()) {
		return 0, errAskedJustNow
	}
	if err := b.askLimit(ctx, t); err != nil {
		t.limits.set(0, time.Now().Add(askPause))
		return 0, err
	}
	return int(t.limits.bytes.Load()), nil
}

// errAskedJustNow stands for the answer that the cluster gave a moment ago, or
// did not give; the next question is put after askPause.
var errAskedJustNow = errors.New("the cluster did not answer a moment ago")

// refreshLimit asks in the background, once at a time.
func (b *Broker) refreshLimit(t *topic) {
	if !t.limits.asking.TryLock() {
		return
	}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		t.limits.asking.Unlock()
		return
	}
	b.background.Add(1)
	b.mu.Unlock()
	go func() {
		defer b.background.Done()
		defer t.limits.asking.Unlock()
		if err := b.askLimit(context.Background(), t); err != nil {
			// The old limit stays; a record above a lowered one fails with
			// MESSAGE_TOO_LARGE, and then the limit is forgotten.
			t.limits.set(0, time.Now().Add(askPause))
		}
	}()
}

func (b *Broker) askLimit(ctx context.Context, t *topic) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	bytes, err := b.describeLimit(ctx, t.name)
	if errors.Is(err, errMissing) && b.config.CreateTopics {
		if err = b.EnsureChannels(ctx, t.name); err == nil {
			bytes, err = b.describeLimit(ctx, t.name)
		}
	}
	if err != nil {
		return err
	}
	if old := t.limits.set(bytes, time.Now().Add(limitAge)); old != 0 && old != bytes {
		t.stale.Store(true) // the client library keeps the limit that it was first told
	}
	return nil
}

func (b *Broker) describeLimit(ctx context.Context, name string) (int64, error) {
	configs, err := b.admin.DescribeTopicConfigs(ctx, name)
	if err == nil {
		var c kadm.ResourceConfig
		if c, err = configs.On(name, nil); err == nil {
			err = c.Err
		}
		for _, key := range c.Configs {
			if key.Key == "max.message.bytes" && key.Value != nil {
				if n, err := strconv.ParseInt(*key.Value, 10, 64); err == nil && n > 0 {
					return n, nil
				}
			}
		}
	}
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return 0, errMissing
	case err == nil, errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return defaultLimit, nil // not allowed to ask; publishing may be allowed
	}
	return 0, fmt.Errorf("ask for the topic's limits: %w", err)
}

// batchLimit is how large the client library may make a batch.
func (b *Broker) batchLimit(name string) int32 {
	b.mu.Lock()
	t := b.topics[name]
	b.mu.Unlock()
	n := int64(defaultLimit)
	if t != nil && t.limits.bytes.Load() > 0 {
		n = t.limits.bytes.Load()
	}
	return int32(min(max(n, 1024), maxBatch))
}

// recordSize is the most that a record takes as a batch of its own, before
// compression: 61 bytes of batch, and lengths, flags and deltas as varints of
// at most 5 bytes.
func recordSize(bytes, headers int) int {
	return 61 + 8*5 + bytes + 10*headers
}

// tooLarge returns the error for a record that the topic never takes, or nil.
func tooLarge(channel string, size, limit int) error {
	if limit = min(limit, maxBatch); size > limit {
		return fmt.Errorf("channel %s takes at most %d bytes (max.message.bytes) and the message needs up to %d: %w",
			channel, limit, size, broker.ErrTooLarge)
	}
	return nil
}
