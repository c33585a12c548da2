package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/broker/kafka"
)

// TestSmallLimit publishes to a topic that takes hardly anything: batches must
// stay below its limit, and a message above it takes along only what follows it
// under its key.
func TestSmallLimit(t *testing.T) {
	t.Parallel()
	b := setup(t, kafka.Config{})
	channel := b.channel(t, 3, "max.message.bytes", "2000")
	var many []*tidings.Message
	for i := range 2000 {
		many = append(many, message(channel, "key-"+strconv.Itoa(i%10), strconv.Itoa(i)))
	}
	mustPublish(t, b.Broker, many...)

	large := message(channel, "large", strings.Repeat("x", 3000))
	if err := b.Check(testContext(t), large); !errors.Is(err, broker.ErrTooLarge) || !strings.Contains(err.Error(), "at most 2000 bytes") {
		t.Fatalf("Check returned %v, want ErrTooLarge", err)
	}
	after := message(channel, "large", "after")
	errs := publish(testContext(t), b.Broker, message(channel, "large", "before"), large, message(channel, "other", "x"), after)
	if errs[0] != nil || !errors.Is(errs[1], broker.ErrTooLarge) || errs[2] != nil || errs[3] == nil {
		t.Fatalf("errors %v; want only the large message and what follows it under its key to fail", errs)
	}
	mustPublish(t, b.Broker, after)
}

// TestLimitLowered lowers the limit behind the publisher's back.
func TestLimitLowered(t *testing.T) {
	t.Parallel()
	b := setup(t, kafka.Config{})
	channel := b.channel(t, 1)
	// Random text does not get smaller by compression, on which the cluster's
	// check is.
	text := tidings.NewID()
	for len(text) < 8000 {
		text += tidings.NewID()
	}
	large := message(channel, "k", text)
	mustPublish(t, b.Broker, large)
	limit := "1500"
	answers, err := kadm.NewClient(b.raw).AlterTopicConfigs(testContext(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit}}, channel)
	if err != nil || answers[0].Err != nil {
		t.Fatal(err, answers)
	}
	small := message(channel, "k", "small")
	for {
		errs := publish(testContext(t), b.Broker, large, small)
		if errs[0] == nil {
			continue // the cluster has not noticed yet
		}
		if !errors.Is(errs[0], broker.ErrTooLarge) || errs[1] == nil {
			t.Fatalf("errors %v; want the large message to be too large, and the next one to fail with it", errs)
		}
		break
	}
	if err := b.Check(testContext(t), large); !errors.Is(err, broker.ErrTooLarge) {
		t.Fatalf("Check returned %v after the limit was lowered", err)
	}
	mustPublish(t, b.Broker, small)
}

func TestMissingTopic(t *testing.T) {
	t.Parallel()
	b := setup(t, kafka.Config{})
	channel := "test." + tidings.NewID()
	m := message(channel, "k", "1")
	if err := b.Check(testContext(t), m); err != nil {
		t.Fatalf("Check returned %v for a topic that may come", err)
	}
	err := publish(testContext(t), b.Broker, m)[0]
	if err == nil || !strings.Contains(err.Error(), "channel "+channel+": topic does not exist; create it") {
		t.Fatalf("error %v, want one that says what to do", err)
	}
	if err := b.EnsureChannels(testContext(t), channel); err != nil {
		t.Fatal(err)
	}
	mustPublish(t, b.Broker, m)
}

func TestCreateTopics(t *testing.T) {
	t.Parallel()
	b := setup(t, kafka.Config{CreateTopics: true, Partitions: 6})
	channel := "test." + tidings.NewID()
	b.owns(channel, channel+"-2")
	mustPublish(t, b.Broker, message(channel, "k", "1"))
	ctx, cancel := context.WithCancel(testContext(t))
	got := 0
	err := b.Subscribe(ctx, broker.Subscription{Subscriber: channel, Channels: []string{channel, channel + "-2"}}, func(_ context.Context, d broker.Delivery) {
		got++
		d.Ack()
		cancel()
	})
	if err != nil || got != 1 {
		t.Fatalf("received %d, error %v", got, err)
	}
	topics, err := kadm.NewClient(b.raw).ListTopics(testContext(t), channel, channel+"-2")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range topics {
		if len(d.Partitions) != 6 {
			t.Errorf("topic %s has %d partitions, want 6", d.Topic, len(d.Partitions))
		}
	}
}

// TestReplacedTopic removes a topic and makes it anew between two messages.
func TestReplacedTopic(t *testing.T) {
	t.Parallel()
	b := setup(t, kafka.Config{})
	channel := b.channel(t, 4)
	mustPublish(t, b.Broker, message(channel, "k", "1"))
	admin := kadm.NewClient(b.raw)
	if _, err := admin.DeleteTopics(testContext(t), channel); err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	for {
		answers, err := admin.CreateTopics(ctx, 4, 1, nil, channel)
		if err == nil && (answers.Error() == nil || errors.Is(answers[channel].Err, kerr.TopicAlreadyExists) && answers[channel].ID != [16]byte{}) {
			break
		}
		if err := ctx.Err(); err != nil {
			t.Fatal(err)
		}
	}
	// The first ones may meet a server that knows the old topic only.
	for i := 0; ; i++ {
		err := publish(ctx, b.Broker, message(channel, "k", "2"))[0]
		if err == nil {
			return
		}
		if ctx.Err() != nil || i > 20 {
			t.Fatal(err)
		}
	}
}

// TestStopWhileAway ends a publisher's context while the cluster is away: all
// its messages are reported at once, and the next publisher is not hindered.
func TestStopWhileAway(t *testing.T) {
	t.Parallel()
	b := setup(t, kafka.Config{})
	channel := b.channel(t, 2)
	mustPublish(t, b.Broker, message(channel, "k", "0"))
	b.link.allow(false)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var ms []*tidings.Message
	for i := range 100 {
		ms = append(ms, message(channel, "k", strconv.Itoa(i)))
	}
	began := time.Now()
	for i, err := range publish(ctx, b.Broker, ms...) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("message %d failed with %v, want the context's error", i, err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s until all was reported", took)
	}
	b.link.allow(true)
	mustPublish(t, b.Broker, ms...)
}

// TestPartitions checks that the adapter and Kafka's own producers put a key
// into the same partition.
func TestPartitions(t *testing.T) {
	t.Parallel()
	b := setup(t, kafka.Config{})
	channel := b.channel(t, 12)
	var ms []*tidings.Message
	for i := range 200 {
		ms = append(ms, message(channel, fmt.Sprintf("schlüssel-%d", i), "x"))
	}
	mustPublish(t, b.Broker, ms...)
	theirs := map[string]int32{}
	for _, m := range ms {
		r := b.raw.ProduceSync(testContext(t), &kgo.Record{Topic: channel, Key: []byte(m.Key)})
		if r.FirstErr() != nil {
			t.Fatal(r.FirstErr())
		}
		theirs[m.Key] = r[0].Record.Partition
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(b.seed), kgo.ConsumeTopics(channel))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for ours := 0; ours < len(ms); {
		fetches := reader.PollFetches(testContext(t))
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if len(r.Headers) == 0 {
				return
			}
			ours++
			if theirs[string(r.Key)] != r.Partition {
				t.Errorf("key %s is in partition %d, Kafka's own producer uses %d", r.Key, r.Partition, theirs[string(r.Key)])
			}
		})
	}
}
