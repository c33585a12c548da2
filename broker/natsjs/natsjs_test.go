package natsjs

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"

	"tidings.example/broker/brokertest"
)

// wrapped adds to a broker what the suite can use beyond the ports.
type wrapped struct {
	*Broker
}

func (b wrapped) PublishRaw(ctx context.Context, channel string, payload []byte) error {
	_, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: b.names.subject(channel, 0), Data: payload})
	return err
}

func startServer(t testing.TB, c EmbeddedConfig) *Embedded {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	s, err := StartEmbedded(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func openBroker(t testing.TB, c Config) *Broker {
	t.Helper()
	b, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestConformanceEmbedded(t *testing.T) {
	t.Parallel()
	server := startServer(t, EmbeddedConfig{})
	brokertest.Run(t, func(t *testing.T) brokertest.Broker {
		return wrapped{openBroker(t, Config{Server: server})}
	})
}
