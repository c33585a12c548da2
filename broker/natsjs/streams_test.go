package natsjs

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/broker"
)

// publishOne publishes a message and returns what it was reported with.
func publishOne(b *Broker, m *tidings.Message) error {
	result := make(chan error, 1)
	b.Publish(context.Background(), []*tidings.Message{m}, func(_ int, err error) { result <- err })
	return <-result
}

func TestPublishFails(t *testing.T) {
	t.Parallel()
	b := openBroker(t, Config{Server: startServer(t, EmbeddedConfig{}).server})
	ctx := t.Context()
	if err := publishOne(b, numbered("missing", 0)); err == nil || !strings.Contains(err.Error(), "EnsureChannels") {
		t.Errorf("into a channel that does not exist: %v", err)
	}
	if _, err := b.js.CreateStream(ctx, jetstream.StreamConfig{Name: b.names.stream("foreign"), Subjects: []string{b.names.subjects("foreign")}}); err != nil {
		t.Fatal(err)
	}
	if err := publishOne(b, numbered("foreign", 0)); err == nil || !strings.Contains(err.Error(), partitionsKey) {
		t.Errorf("into a stream that says nothing of partitions: %v", err)
	}
	if err := b.EnsureChannels(ctx, "sealed"); err != nil {
		t.Fatal(err)
	}
	stream, err := b.js.Stream(ctx, b.names.stream("sealed"))
	if err != nil {
		t.Fatal(err)
	}
	sealed := stream.CachedInfo().Config
	sealed.Sealed = true
	if _, err := b.js.UpdateStream(ctx, sealed); err != nil {
		t.Fatal(err)
	}
	if err := publishOne(b, numbered("sealed", 0)); err == nil || !strings.Contains(err.Error(), "seal") {
		t.Errorf("into a sealed stream: %v", err)
	}
	m := numbered("sealed", 0)
	m.Source = ""
	if err := publishOne(b, m); !errors.Is(err, tidings.ErrInvalid) {
		t.Errorf("a message without a source: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := publishOne(b, numbered("missing", 0)); err == nil {
		t.Error("a closed broker publishes")
	}
}

// TestRepublicationIsDropped publishes twice under one stamp, as after a lost
// acknowledgement, and once with the next number.
func TestRepublicationIsDropped(t *testing.T) {
	t.Parallel()
	b := openBroker(t, Config{Server: startServer(t, EmbeddedConfig{}).server})
	if err := b.EnsureChannels(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	m := numbered("c", 0)
	for _, sequence := range []uint64{1, 1, 2} {
		m.Stamp = tidings.Stamp{Epoch: "e", Lane: 1, Sequence: sequence}
		if err := publishOne(b, m); err != nil {
			t.Fatal(err)
		}
	}
	c, err := b.channels.lookUp(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	if c.last != 2 {
		t.Errorf("%d records are stored, want 2", c.last)
	}
}

// TestStreamMadeAnew deletes a stream under a stored position and makes it
// again: the subscriber starts at its beginning.
func TestStreamMadeAnew(t *testing.T) {
	t.Parallel()
	server, s := oneChannel(t)
	b := openBroker(t, Config{URL: server.url(), Partitions: 1})
	publishNumbers(t, b, "c", 0, 10)
	got := newTaker()
	stop := got.subscribe(t, b, s)
	got.want(t, 0, 10)
	stop()
	if err := b.js.DeleteStream(t.Context(), b.names.stream("c")); err != nil {
		t.Fatal(err)
	}
	if err := b.EnsureChannels(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	publishNumbers(t, b, "c", 100, 20)
	again := newTaker()
	again.subscribe(t, b, s)
	again.want(t, 100, 20)
}

// TestStreamRemoved removes a stream under a running subscription.
func TestStreamRemoved(t *testing.T) {
	t.Parallel()
	server, s := oneChannel(t)
	b := openBroker(t, Config{URL: server.url()})
	publishNumbers(t, b, "c", 0, 1)
	got := newTaker()
	got.subscribe(t, b, s)
	got.want(t, 0, 1)
	if err := b.js.DeleteStream(t.Context(), b.names.stream("c")); err != nil {
		t.Fatal(err)
	}
	if err := got.wantError(t); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("the subscription ended with %v", err)
	}
}

// TestEnsureKeepsPartitions opens a channel under another configuration.
func TestEnsureKeepsPartitions(t *testing.T) {
	t.Parallel()
	server := startServer(t, EmbeddedConfig{})
	for _, partitions := range []int{8, 2} {
		b := openBroker(t, Config{Server: server.server, Partitions: partitions})
		if err := b.EnsureChannels(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		c, err := b.channels.get(t.Context(), "c")
		if err != nil || c.partitions != 8 {
			t.Errorf("the channel has %+v, %v; want 8 partitions", c, err)
		}
	}
}

// TestPartitionIsKafkas pins the choice of partitions, which services in other
// languages repeat.
func TestPartitionIsKafkas(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]uint32{"": 275646681, "21": 1173551340, "foobar": 1357151166, "a-little-bit-long-string": 1161502112} {
		if got := tidings.PositiveHash(key); got != want {
			t.Errorf("hash of %q is %d, want %d", key, got, want)
		}
		if got := (&channel{partitions: 4}).partition(key); got != int(want%4) {
			t.Errorf("partition of %q is %d, want %d", key, got, want%4)
		}
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	server := startServer(t, EmbeddedConfig{Addr: "127.0.0.1:0"})
	b := openBroker(t, Config{URL: server.url()})
	if err := b.Ready(t.Context()); err != nil {
		t.Errorf("not ready: %v", err)
	}
	server.stop()
	if err := b.Ready(t.Context()); err == nil {
		t.Error("ready without a server")
	}
	failed := func(f admin.Finding) bool { return f.Status == admin.Fail && f.Advice != "" }
	if f := b.Doctor(t.Context()); !slices.ContainsFunc(f, failed) {
		t.Errorf("without a server the doctor finds %+v", f)
	}
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	b := openBroker(t, Config{Server: startServer(t, EmbeddedConfig{}).server})
	ctx := t.Context()
	if err := b.EnsureChannels(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	stop := newTaker().subscribe(t, b, broker.Subscription{Subscriber: "s", Channels: []string{"orders"}})
	for _, f := range b.Doctor(ctx) {
		if f.Status != admin.OK {
			t.Errorf("a healthy server: %+v", f)
		}
	}
	stop()
	bad := jetstream.StreamConfig{
		Name: b.names.stream("bad"), Subjects: []string{b.names.subjects("bad"), "other"},
		Storage: jetstream.MemoryStorage, Retention: jetstream.InterestPolicy,
		NoAck: true, Discard: jetstream.DiscardNew, MaxBytes: 1 << 20, MaxMsgsPerSubject: 1,
	}
	if _, err := b.js.CreateStream(ctx, bad); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, f := range b.Doctor(ctx) {
		if f.Name == "NATS channel bad" {
			found++
			if f.Status == admin.OK || f.Detail == "" || f.Advice == "" {
				t.Errorf("unclear finding: %+v", f)
			}
		}
	}
	if found != 7 {
		t.Errorf("%d things were found wrong with the bad channel, want 7: %+v", found, b.Doctor(ctx))
	}
}
