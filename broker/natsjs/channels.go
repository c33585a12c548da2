package natsjs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"tidings.example"
)

// A channel is what must be known of its stream.
type channel struct {
	name       string
	stream     string
	partitions int
	// maxMessage is the stream's own bound on messages; 0 for none.
	maxMessage int
	// created tells a stream from one that was deleted and made again.
	created time.Time
	// last is the sequence of the stream's last record, when it was looked up.
	last uint64
}

func (c *channel) partition(orderingKey string) int {
	return tidings.LaneOf(orderingKey, tidings.DefaultLanes) % c.partitions
}

// partitionsKey is the entry in a stream's metadata that says how many
// partitions the channel has.
const partitionsKey = "tidings-partitions"

// A missingError says that a channel has no stream, or one that cannot be
// used: going on makes no sense.
type missingError struct {
	reason string
	// absent says that there is no stream at all.
	absent bool
}

func (e *missingError) Error() string { return e.reason }

// channelCache remembers channels that were looked up.
type channelCache struct {
	broker *Broker
	mu     sync.Mutex
	known  map[string]*channel
	// asked is when a channel was last looked up by perhaps.
	asked map[string]time.Time
}

func (cc *channelCache) cached(name string) *channel {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	return cc.known[name]
}

func (cc *channelCache) forget(name string) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	delete(cc.known, name)
}

// get returns the channel, asking the server the first time. The error is a
// *missingError if asking again will not help.
func (cc *channelCache) get(ctx context.Context, name string) (*channel, error) {
	if c := cc.cached(name); c != nil {
		return c, nil
	}
	return cc.lookUp(ctx, name)
}

// perhaps returns the channel if it is known, or nil. It asks the server at
// most once a second for each channel.
func (cc *channelCache) perhaps(ctx context.Context, name string) *channel {
	cc.mu.Lock()
	c, again := cc.known[name], time.Since(cc.asked[name]) > time.Second
	if c == nil && again {
		cc.asked[name] = time.Now()
	}
	cc.mu.Unlock()
	if c == nil && again {
		// Publish says what is wrong.
		c, _ = cc.lookUp(ctx, name)
	}
	return c
}

// lookUp asks the server in any case.
func (cc *channelCache) lookUp(ctx context.Context, name string) (*channel, error) {
	b, since := cc.broker, time.Now()
	ctx, cancel := b.connected.bound(ctx, requestTime)
	defer cancel()
	stream, err := b.js.Stream(ctx, b.names.stream(name))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, &missingError{absent: true,
			reason: fmt.Sprintf("channel %q does not exist: there is no stream %q; create it with EnsureChannels", name, b.names.stream(name))}
	}
	if err != nil {
		return nil, fmt.Errorf("look up channel %q: %w", name, b.explain(err, streamInfoSubject(b.names.stream(name)), since))
	}
	c, err := channelOf(name, stream.CachedInfo())
	if err != nil {
		return nil, err
	}
	cc.mu.Lock()
	defer cc.mu.Unlock()
	cc.known[name] = c
	return c, nil
}

func channelOf(name string, info *jetstream.StreamInfo) (*channel, error) {
	partitions, err := strconv.Atoi(info.Config.Metadata[partitionsKey])
	if err != nil || partitions < 1 || tidings.DefaultLanes%partitions != 0 {
		return nil, &missingError{reason: fmt.Sprintf("stream %q has no usable %q in its metadata; set it to the number of partitions, which must divide %d",
			info.Config.Name, partitionsKey, tidings.DefaultLanes)}
	}
	return &channel{
		name:       name,
		stream:     info.Config.Name,
		partitions: partitions,
		maxMessage: max(0, int(info.Config.MaxMsgSize)),
		created:    info.Created.UTC(),
		last:       info.State.LastSeq,
	}, nil
}

// EnsureChannels creates the streams of channels that have none, as the
// configuration says, and leaves the others as they are. It also creates the
// buckets that subscribers need, so that these may do with fewer permissions.
func (b *Broker) EnsureChannels(ctx context.Context, channels ...string) error {
	for _, name := range channels {
		if err := tidings.ValidateName("channel", name); err != nil {
			return fmt.Errorf("ensure channels: %w", err)
		}
	}
	for _, name := range channels {
		if err := b.ensure(ctx, name); err != nil {
			return fmt.Errorf("ensure channel %q: %w", name, err)
		}
	}
	if _, _, err := b.buckets(ctx); err != nil {
		return fmt.Errorf("ensure channels: %w", err)
	}
	return nil
}

func (b *Broker) ensure(ctx context.Context, name string) error {
	_, err := b.channels.lookUp(ctx, name)
	if missing, ok := errors.AsType[*missingError](err); !ok || !missing.absent {
		return err
	}
	since := time.Now()
	ctx, cancel := b.connected.bound(ctx, requestTime)
	defer cancel()
	_, err = b.js.CreateStream(ctx, jetstream.StreamConfig{
		Name:        b.names.stream(name),
		Description: "Tidings channel " + name,
		Subjects:    []string{b.names.subjects(name)},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		Storage:     jetstream.FileStorage,
		MaxAge:      b.config.MaxAge,
		MaxBytes:    unlimited(b.config.MaxBytes),
		Replicas:    b.config.Replicas,
		Duplicates:  b.config.Duplicates,
		AllowDirect: true,
		Metadata:    map[string]string{partitionsKey: strconv.Itoa(b.config.Partitions)},
	})
	// Another process may have been quicker, perhaps with other settings.
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return b.explain(err, "$JS.API.STREAM.CREATE.", since)
	}
	_, err = b.channels.lookUp(ctx, name)
	return err
}

func unlimited(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
}
