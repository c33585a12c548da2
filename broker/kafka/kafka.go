package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
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
	queue   queue
	// pumping is closed when the pump has ended.
	pumping chan struct{}

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
	b := &Broker{
		config: c, address: a, topics: map[string]*topic{},
		queue: queue{more: make(chan struct{}, 1)}, pumping: make(chan struct{}),
	}
	if err := b.probe(ctx); err != nil {
		return nil, err
	}
	// From here on a connection that ends at once is tried again: a server
	// that is starting or stopping does that too.
	b.client, err = kgo.NewClient(b.options(append(b.producerOptions(), kgo.AlwaysRetryEOF())...)...)
	if err != nil {
		return nil, fmt.Errorf("configure client: %w", err)
	}
	b.admin = kadm.NewClient(b.client)
	go func() {
		defer close(b.pumping)
		b.pump()
	}()
	return b, nil
}

// probe asks the cluster once. Its client takes a connection that is closed at
// once for what it mostly is: TLS or SASL where the other side has none.
func (b *Broker) probe(ctx context.Context) error {
	client, err := kgo.NewClient(b.options()...)
	if err != nil {
		return fmt.Errorf("configure client: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	return b.ping(ctx, client)
}

// Close ends all connections. Messages whose done was not called are reported
// as failed before it returns. Subscriptions are to be ended before, by their contexts.
func (b *Broker) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	waiting := b.queue.close()
	b.client.Close()
	<-b.pumping
	for _, o := range waiting {
		o.report(kgo.ErrClientClosed)
	}
	b.background.Wait()
	return nil
}

// Ready returns nil if the cluster answers, else why it does not.
func (b *Broker) Ready(ctx context.Context) error {
	return b.ping(ctx, b.client)
}

func (b *Broker) ping(ctx context.Context, client *kgo.Client) error {
	if err := client.Ping(ctx); err != nil {
		return fmt.Errorf("reach %s: %w", strings.Join(b.address.seeds, ", "), err)
	}
	return nil
}

// options are those of every client, and more.
func (b *Broker) options(more ...kgo.Opt) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(b.address.seeds...),
		kgo.ClientID(b.config.ClientID),
		kgo.MinVersions(kversion.V2_4_0()),
		kgo.WithLogger(logger{b.config.Logger}),
		kgo.DisableClientMetrics(),
		// A cluster that comes back is noticed within a second or so.
		kgo.RetryBackoffFn(backoff),
		kgo.MetadataMaxAge(time.Minute),
		kgo.MetadataMinAge(250 * time.Millisecond),
	}
	switch {
	case b.config.Dial != nil:
		opts = append(opts, kgo.Dialer(b.dial))
	case b.address.tls != nil:
		opts = append(opts, kgo.DialTLSConfig(b.address.tls))
	}
	if b.address.sasl != nil {
		opts = append(opts, kgo.SASL(b.address.sasl))
	}
	return append(opts, more...)
}

// dial marks the errors of Config.Dial as what they are: the client library
// would give up records for any other kind of error.
func (b *Broker) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := b.config.Dial(ctx, network, address)
	var op *net.OpError
	if err != nil && !errors.As(err, &op) {
		err = &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return conn, err
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
