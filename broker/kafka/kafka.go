package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"tidings.example/admin"
	"tidings.example/broker"
)

// A Broker is a Kafka cluster. It may be used from many goroutines at once.
type Broker struct {
	config  Config
	address address
	client  *kgo.Client
	admin   *kadm.Client
	budget  budget

	// failures counts failures of topics; see call.began.
	failures atomic.Uint64
	mu       sync.Mutex
	topics   map[string]*topic
	closed   bool
	// background are refreshes of limits that run.
	background sync.WaitGroup
}

var (
	_ broker.Publisher   = (*Broker)(nil)
	_ broker.Subscriber  = (*Broker)(nil)
	_ broker.Provisioner = (*Broker)(nil)
	_ admin.Doctor       = (*Broker)(nil)
)

// openPatience bounds how long Open waits for an answer.
const openPatience = 10 * time.Second

// Open connects to a cluster. It fails if no server answers within 10 seconds
// or before ctx is done, if the credentials are refused, or if the servers are
// too old. Once open, the broker connects again by itself whenever connections
// are lost.
func Open(ctx context.Context, c Config) (*Broker, error) {
	b, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open Kafka broker: %w", err)
	}
	return b, nil
}

func open(ctx context.Context, c Config) (*Broker, error) {
	c, a, err := c.complete()
	if err != nil {
		return nil, err
	}
	b := &Broker{config: c, address: a, topics: map[string]*topic{}}
	b.client, err = kgo.NewClient(append(b.options(), b.producerOptions()...)...)
	if err != nil {
		return nil, fmt.Errorf("configure client: %w", err)
	}
	b.admin = kadm.NewClient(b.client)
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	if err := b.Ready(ctx); err != nil {
		b.client.Close()
		return nil, err
	}
	return b, nil
}

// Close ends all connections. Messages whose done was not called are reported
// as failed before it returns. Subscriptions are to be ended before, by their contexts.
func (b *Broker) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.client.Close()
	b.budget.wait()
	b.background.Wait()
	return nil
}

// Ready returns nil if the cluster answers, else why it does not.
func (b *Broker) Ready(ctx context.Context) error {
	if err := b.client.Ping(ctx); err != nil {
		return fmt.Errorf("reach %s: %w", strings.Join(b.address.seeds, ", "), err)
	}
	return nil
}

// options are those of every client.
func (b *Broker) options() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(b.address.seeds...),
		kgo.ClientID(b.config.ClientID),
		kgo.MinVersions(kversion.V2_4_0()),
		kgo.WithLogger(logger{b.config.Logger}),
		kgo.DisableClientMetrics(),
		// A cluster that comes back is noticed within a second or so.
		kgo.RetryBackoffFn(backoff),
		kgo.MetadataMaxAge(time.Minute),
	}
	switch {
	case b.config.Dial != nil:
		opts = append(opts, kgo.Dialer(b.config.Dial))
	case b.address.tls != nil:
		opts = append(opts, kgo.DialTLSConfig(b.address.tls))
	}
	if b.address.sasl != nil {
		opts = append(opts, kgo.SASL(b.address.sasl))
	}
	return opts
}

// permanent reports whether an error will not go away by trying again.
func permanent(err error) bool {
	for _, target := range []error{
		kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState, kerr.UnsupportedVersion,
		kerr.ClusterAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.TopicAuthorizationFailed, kerr.InvalidTopicException,
		kerr.InvalidGroupID, kerr.InvalidSessionTimeout, kgo.ErrClientClosed,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
