package natsjs

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"tidings.example/broker/brokertest"
	"tidings.example/internal/servertest"
)

// wrapped adds to a broker what the suite can use beyond the ports.
type wrapped struct{ *Broker }

func (b wrapped) PublishRaw(ctx context.Context, channel string, payload []byte) error {
	_, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: b.names.subject(channel, 0), Data: payload})
	return err
}

// interruptible is a broker that can be cut off in some way.
type interruptible struct {
	wrapped
	interrupt func(t testing.TB)
}

func (b interruptible) Interrupt(t testing.TB) { b.interrupt(t) }

// An embeddedServer can be started again on the same directory and address.
type embeddedServer struct {
	mu     sync.Mutex
	config EmbeddedConfig
	server *Embedded
}

func startServer(t testing.TB, c EmbeddedConfig) *embeddedServer {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	s := &embeddedServer{config: c}
	s.start(t)
	t.Cleanup(s.stop)
	if c.Addr != "" {
		s.config.Addr = s.server.Addr()
	}
	return s
}

func (s *embeddedServer) start(t testing.TB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	server, err := StartEmbedded(s.config)
	if err != nil {
		t.Error(err)
		return
	}
	s.server = server
}

func (s *embeddedServer) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.server.Close()
}

func (s *embeddedServer) restart(t testing.TB) {
	s.stop()
	s.start(t)
}

func (s *embeddedServer) url() string { return "nats://" + s.config.Addr }

func openBroker(t testing.TB, c Config) *Broker {
	t.Helper()
	b, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestConformanceInProcess(t *testing.T) {
	t.Parallel()
	server := startServer(t, EmbeddedConfig{})
	brokertest.Run(t, func(t *testing.T) brokertest.Broker {
		b := wrapped{openBroker(t, Config{Server: server.server})}
		return interruptible{b, func(t testing.TB) { cut(t, b.Broker) }}
	})
}

// cut breaks the broker's connections; it connects again by itself.
func cut(t testing.TB, b *Broker) {
	for _, conn := range []*nats.Conn{b.conn, b.publisher.conn} {
		if err := conn.ForceReconnect(); err != nil {
			t.Errorf("cut connection: %v", err)
		}
	}
}

// TestConformanceRestart restarts the server in this process on its directory.
func TestConformanceRestart(t *testing.T) {
	t.Parallel()
	server := startServer(t, EmbeddedConfig{Addr: "127.0.0.1:0"})
	brokertest.Run(t, func(t *testing.T) brokertest.Broker {
		b := wrapped{openBroker(t, Config{URL: server.url()})}
		return interruptible{b, server.restart}
	})
}

func TestConformanceRemote(t *testing.T) {
	t.Parallel()
	url, prefix := servertest.NATS(t), servertest.Name("natsjs")
	cleaner := openBroker(t, Config{URL: url, Prefix: prefix})
	t.Cleanup(func() { removeAll(t, cleaner) })
	brokertest.Run(t, func(t *testing.T) brokertest.Broker {
		b := wrapped{openBroker(t, Config{URL: url, Prefix: prefix})}
		return interruptible{b, func(t testing.TB) { cut(t, b.Broker) }}
	})
}

// removeAll removes everything with the broker's prefix from the server.
func removeAll(t testing.TB, b *Broker) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	names := b.js.StreamNames(ctx)
	for name := range names.Name() {
		if _, ours := b.names.channel(name); ours || strings.HasPrefix(name, bucketStream(b.names.prefix)) {
			if err := b.js.DeleteStream(ctx, name); err != nil {
				t.Errorf("remove stream %s: %v", name, err)
			}
		}
	}
	if err := names.Err(); err != nil {
		t.Errorf("list streams: %v", err)
	}
}

// TestConformanceKill kills the server's process and starts it again.
func TestConformanceKill(t *testing.T) {
	t.Parallel()
	servers := servertest.Private(t, "nats")
	url := servers.URL("nats")
	brokertest.Run(t, func(t *testing.T) brokertest.Broker {
		b := wrapped{openBroker(t, Config{URL: url})}
		return interruptible{b, func(testing.TB) {
			servers.Kill("nats")
			servers.Start("nats")
		}}
	})
}
