package kafka_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example"
	"tidings.example/broker/brokertest"
	"tidings.example/broker/kafka"
	"tidings.example/internal/servertest"
)

const patience = time.Minute

func TestConformance(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, func(t *testing.T) brokertest.Broker { return setup(t, kafka.Config{}) })
}

// A bundle is a broker whose connections can be cut, and whose topics are
// removed after the test.
type bundle struct {
	*kafka.Broker
	link *link
	raw  *kgo.Client
	// seed is the server's address.
	seed string

	mu     sync.Mutex
	topics []string
}

func setup(t *testing.T, c kafka.Config) *bundle {
	t.Helper()
	b := &bundle{link: &link{}}
	if c.URL == "" {
		c.URL = servertest.Kafka(t)
	}
	c.Dial = b.link.dial
	c.SessionTimeout = 6 * time.Second
	var err error
	if b.Broker, err = kafka.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	b.seed = strings.TrimPrefix(c.URL, "kafka://")
	if b.raw, err = kgo.NewClient(kgo.SeedBrokers(b.seed)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.link.allow(true)
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		b.removeTopics(t)
		b.raw.Close()
	})
	return b
}

func (b *bundle) removeTopics(t *testing.T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.topics) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := kadm.NewClient(b.raw).DeleteTopics(ctx, b.topics...); err != nil {
		t.Errorf("remove topics: %v", err)
	}
}

// owns has topics removed after the test.
func (b *bundle) owns(topics ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.topics = append(b.topics, topics...)
}

// channel makes a channel with a fresh name; settings are pairs of topic
// configuration.
func (b *bundle) channel(t *testing.T, partitions int, settings ...string) string {
	t.Helper()
	name := "test." + tidings.NewID()
	configs := map[string]*string{}
	for i := 0; i < len(settings); i += 2 {
		configs[settings[i]] = &settings[i+1]
	}
	b.owns(name)
	answers, err := kadm.NewClient(b.raw).CreateTopics(testContext(t), int32(partitions), 1, configs, name)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		t.Fatalf("create topic: %v", err)
	}
	if err := b.EnsureChannels(testContext(t), name); err != nil {
		t.Fatal(err)
	}
	return name
}

func (b *bundle) EnsureChannels(ctx context.Context, channels ...string) error {
	b.owns(channels...)
	return b.Broker.EnsureChannels(ctx, channels...)
}

// PublishRaw implements brokertest.RawPublisher.
func (b *bundle) PublishRaw(ctx context.Context, channel string, payload []byte) error {
	return b.raw.ProduceSync(ctx, &kgo.Record{Topic: channel, Value: payload}).FirstErr()
}

// Interrupt implements brokertest.Interruptible: all connections break, and
// for half a second none can be made.
func (b *bundle) Interrupt(t testing.TB) {
	b.link.allow(false)
	timer := time.NewTimer(500 * time.Millisecond)
	<-timer.C
	b.link.allow(true)
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}
