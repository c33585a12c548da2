package natsjs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tidings.example/admin"
	"tidings.example/broker"
)

// A Broker publishes to and subscribes from one NATS server or cluster. Its
// methods may be called from any goroutine.
type Broker struct {
	config Config
	names  names
	log    *slog.Logger

	// conn is for everything but publishing, which has a connection of its
	// own so that a flood of messages does not hold up the leases.
	conn      *nats.Conn
	js        jetstream.JetStream
	connected *changes
	channels  *channelCache
	publisher *publisher

	members memberNames
	denials denials
	close   sync.Once
}

var (
	_ broker.Publisher   = (*Broker)(nil)
	_ broker.Subscriber  = (*Broker)(nil)
	_ broker.Provisioner = (*Broker)(nil)
	_ admin.Doctor       = (*Broker)(nil)
)

// ErrClosed is what messages fail with that are published to a closed broker.
var ErrClosed = errors.New("the NATS broker is closed")

// Open connects to a server. It fails if the server does not answer, refuses
// the credentials, or has no JetStream. Once open, the broker connects again by
// itself whenever the connection is lost.
func Open(ctx context.Context, c Config) (*Broker, error) {
	b, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open NATS broker: %w", err)
	}
	return b, nil
}

func open(ctx context.Context, c Config) (*Broker, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	b := &Broker{
		config:    c,
		names:     names{c.Prefix},
		log:       c.Logger,
		connected: newChanges(),
	}
	if b.conn, err = b.connect("subscribe", b.connected.send, b.connected.send); err != nil {
		return nil, err
	}
	if b.js, err = jetstream.New(b.conn); err != nil {
		b.conn.Close()
		return nil, err
	}
	if _, err := b.accountInfo(ctx); err != nil {
		b.conn.Close()
		return nil, err
	}
	b.channels = &channelCache{broker: b, known: map[string]*channel{}, asked: map[string]time.Time{}}
	if b.publisher, err = startPublisher(b); err != nil {
		b.conn.Close()
		return nil, err
	}
	return b, nil
}

// connect opens a connection that never gives up once it was there, and never
// buffers what cannot be sent.
func (b *Broker) connect(purpose string, lost, back func()) (*nats.Conn, error) {
	servers, options, err := b.config.dial()
	if err != nil {
		return nil, err
	}
	options = append(options,
		nats.Name("tidings "+purpose),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(reconnectDelay),
		// A buffer would send old messages after newer ones had failed.
		nats.ReconnectBufSize(-1),
		// A peer that vanished is noticed within 15 seconds.
		nats.PingInterval(5*time.Second),
		nats.MaxPingsOutstanding(2),
		nats.Timeout(5*time.Second),
		// Nor does a peer that takes nothing hold up a call for longer.
		nats.FlusherTimeout(15*time.Second),
		// Credentials may be changed on the servers one after the other.
		nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.log.Warn("NATS connection lost", "connection", purpose, "error", err)
			}
			if lost != nil {
				lost()
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			b.log.Info("NATS connection is back", "connection", purpose)
			if back != nil {
				back()
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				b.denials.add(err)
			}
			b.log.Warn("NATS connection reports an error", "connection", purpose, "error", err)
		}),
	)
	conn, err := nats.Connect(servers, options...)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// reconnectDelay is the pause before the next round of attempts.
func reconnectDelay(attempts int) time.Duration {
	return min(50*time.Millisecond<<min(attempts, 6), 2*time.Second)
}

func (b *Broker) accountInfo(ctx context.Context) (*jetstream.AccountInfo, error) {
	since := time.Now()
	ctx, cancel := b.connected.bound(ctx, requestTime)
	defer cancel()
	info, err := b.js.AccountInfo(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for JetStream: %w", b.explain(err, "$JS.API.INFO", since))
	}
	return info, nil
}

// Ready returns nil if messages can be published and received now, else why
// not.
func (b *Broker) Ready(ctx context.Context) error {
	for _, conn := range []*nats.Conn{b.conn, b.publisher.conn} {
		if status := conn.Status(); status != nats.CONNECTED {
			return fmt.Errorf("NATS connection is %s", status)
		}
	}
	if _, err := b.accountInfo(ctx); err != nil {
		return fmt.Errorf("NATS: %w", err)
	}
	return nil
}

// Close ends the connections. Messages that are still outstanding fail with
// ErrClosed; subscriptions should have ended before. It may be called twice.
func (b *Broker) Close() error {
	b.close.Do(func() {
		b.publisher.stop()
		b.conn.Close()
	})
	return nil
}
