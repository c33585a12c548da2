package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example/broker"
)

const (
	heartbeatInterval = time.Second
	rebalanceTimeout  = time.Minute
	// handOverPatience is how long a partition that is taken away waits for a
	// deliver that does not return; within rebalanceTimeout, or the cluster
	// would throw the member out, with all its partitions.
	handOverPatience = 30 * time.Second
	// leavePatience bounds the farewell to a cluster that may be away.
	leavePatience = 5 * time.Second
)

// A subscription is one running call of Subscribe.
type subscription struct {
	b       *Broker
	client  *kgo.Client
	deliver func(context.Context, broker.Delivery)
	// slots holds one token for each delivery in flight.
	slots chan struct{}
	// workers are the goroutines of all partitions, given up ones included.
	workers sync.WaitGroup

	mu         sync.Mutex
	partitions map[place]*partition
	// closing says that partitions given to us now are not to be started.
	closing bool

	// committing is held from reading positions to the cluster's answer, so
	// that no old position is written after the partition was handed over.
	committing sync.Mutex
}

type place struct {
	topic string
	n     int32
}

// Subscribe implements [broker.Subscriber]. It returns an error for a channel
// that does not exist, now or later, for missing permission, and for a session
// timeout that the cluster does not allow.
func (b *Broker) Subscribe(ctx context.Context, s broker.Subscription, deliver func(ctx context.Context, d broker.Delivery)) error {
	s, err := s.Complete()
	if err != nil {
		return fmt.Errorf("subscribe to Kafka: %w", err)
	}
	if err := b.awaitChannels(ctx, s.Channels); err != nil {
		return fmt.Errorf("subscribe %s: %w", s.Subscriber, err)
	}
	if ctx.Err() != nil {
		return nil
	}
	sub := &subscription{
		b:          b,
		deliver:    deliver,
		slots:      make(chan struct{}, s.MaxInFlight),
		partitions: map[place]*partition{},
	}
	if sub.client, err = kgo.NewClient(b.options(sub.options(s)...)...); err != nil {
		return fmt.Errorf("subscribe %s: configure Kafka client: %w", s.Subscriber, err)
	}
	if err := sub.run(ctx); err != nil {
		return fmt.Errorf("subscribe %s: %w", s.Subscriber, err)
	}
	return nil
}

func (sub *subscription) options(s broker.Subscription) []kgo.Opt {
	return []kgo.Opt{
		kgo.AlwaysRetryEOF(),
		kgo.ConsumerGroup(s.Subscriber),
		kgo.ConsumeTopics(s.Channels...),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// What another producer's transaction took back is not delivered.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(sub.b.config.SessionTimeout),
		kgo.HeartbeatInterval(min(heartbeatInterval, sub.b.config.SessionTimeout/3)),
		kgo.RebalanceTimeout(rebalanceTimeout),
		// A message is fetched the moment it is there. A partition that was
		// paused joins the next fetch, so fetches must not wait long.
		kgo.FetchMinBytes(1),
		kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.FetchMaxBytes(4 << 20),
		kgo.FetchMaxPartitionBytes(1 << 20),
		kgo.DisableAutoCommit(),
		// A rebalance must not fall between a poll and the records' way into
		// their partition's queue: they would be delivered after the partition
		// was given away. That way is short, the queues do not block.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(sub.assigned),
		kgo.OnPartitionsRevoked(sub.revoked),
		kgo.OnPartitionsLost(sub.lost),
	}
}

// awaitChannels waits until the cluster says whether the channels are there.
func (b *Broker) awaitChannels(ctx context.Context, channels []string) error {
	for tries := 1; ctx.Err() == nil; tries++ {
		err := b.requireChannels(ctx, channels)
		if err == nil || permanent(err) || errors.Is(err, errMissing) {
			return err
		}
		b.config.Logger.WarnContext(ctx, "subscribing to Kafka waits for the cluster", "err", err)
		wait(ctx, backoff(tries))
	}
	return nil
}

func (b *Broker) requireChannels(ctx context.Context, channels []string) error {
	if b.config.CreateTopics {
		return b.EnsureChannels(ctx, channels...)
	}
	missing, err := b.missing(ctx, channels)
	if err != nil {
		return fmt.Errorf("look up channels: %w", err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("channel %s: %w", missing[0], errMissing)
	}
	return nil
}

// run polls until ctx is done or going on makes no sense.
func (sub *subscription) run(ctx context.Context) error {
	committer := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(committer)
		sub.commitRegularly(stop)
	}()
	err := sub.poll(ctx)
	// Partitions can still be taken away while deliveries end: the callbacks
	// go on, so that each is committed before another member gets it.
	sub.cancelAll()
	sub.workers.Wait()
	close(stop)
	<-committer
	sub.commitLast()
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), leavePatience)
	defer cancel()
	if err := sub.client.LeaveGroupContext(leave); err != nil {
		sub.b.config.Logger.WarnContext(ctx, "leave Kafka consumer group; others wait for the session timeout", "err", err)
	}
	sub.client.CloseAllowingRebalance()
	return err
}

func (sub *subscription) poll(ctx context.Context) error {
	for {
		fetches := sub.client.PollFetches(ctx)
		if ctx.Err() != nil {
			sub.client.AllowRebalance()
			return nil
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) > 0 {
				sub.enqueue(place{p.Topic, p.Partition}, p.Records)
			}
		})
		sub.client.AllowRebalance()
		if err := sub.fatal(ctx, fetches); err != nil {
			return err
		}
	}
}

// fatal returns that error of a poll which makes going on useless.
func (sub *subscription) fatal(ctx context.Context, fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		switch {
		case permanent(e.Err):
			return e.Err
		case errors.Is(e.Err, kerr.UnknownTopicOrPartition), errors.Is(e.Err, kerr.UnknownTopicID):
			// Servers that are starting say so as well.
			if missing, err := sub.b.missing(ctx, []string{e.Topic}); err == nil && len(missing) > 0 {
				return fmt.Errorf("channel %s: %w", e.Topic, errMissing)
			}
		}
		sub.b.config.Logger.WarnContext(ctx, "receive from Kafka; trying again", "channel", e.Topic, "partition", e.Partition, "err", e.Err)
	}
	return nil
}

func (sub *subscription) enqueue(at place, records []*kgo.Record) {
	sub.mu.Lock()
	p := sub.partitions[at]
	sub.mu.Unlock()
	if p != nil {
		p.push(records)
	}
}
