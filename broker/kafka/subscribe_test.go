package kafka_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/broker/kafka"
	"tidings.example/internal/servertest"
)

// TestStuckHandler has a handler that hangs on one partition for longer than the
// session timeout: the others' messages flow on, and the member is not thrown
// out, so nothing is delivered twice.
func TestStuckHandler(t *testing.T) {
	t.Parallel()
	b := setup(t, kafka.Config{})
	channel := b.channel(t, 4)
	mustPublish(t, b.Broker, message(channel, "stuck", "0"))
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	stuck, loose := make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	seen := map[string]int{}
	others := make(chan struct{}, 10_000)
	ended := make(chan error)
	go func() {
		ended <- b.Subscribe(ctx, broker.Subscription{Subscriber: servertest.Name("stuck"), Channels: []string{channel}},
			func(_ context.Context, d broker.Delivery) {
				mu.Lock()
				seen[d.Message.ID]++
				mu.Unlock()
				if d.Message.Key == "stuck" {
					close(stuck)
					<-loose
				} else {
					others <- struct{}{}
				}
				d.Ack()
			})
	}()
	<-stuck
	key := "other"
	for i := 0; tidings.PositiveHash(key)%4 == tidings.PositiveHash("stuck")%4; i++ {
		key = "other-" + strconv.Itoa(i)
	}
	// Messages keep coming until the session would have ended.
	n := 0
	for until := time.Now().Add(8 * time.Second); time.Now().Before(until); n++ {
		mustPublish(t, b.Broker, message(channel, key, strconv.Itoa(n)))
		<-others
	}
	close(loose)
	mustPublish(t, b.Broker, message(channel, key, "last"))
	<-others
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for id, times := range seen {
		if times > 1 {
			t.Errorf("message %s was delivered %d times", id, times)
		}
	}
	if len(seen) != n+2 {
		t.Errorf("%d messages were delivered, want %d", len(seen), n+2)
	}
}

// TestForeignRecords subscribes to what other producers write.
func TestForeignRecords(t *testing.T) {
	t.Parallel()
	b := setup(t, kafka.Config{})
	channel := b.channel(t, 1)
	r := b.raw.ProduceSync(testContext(t),
		&kgo.Record{Topic: channel, Key: []byte("k"), Value: []byte("plain")},
		&kgo.Record{Topic: channel, Value: []byte(`{"specversion":"1.0","id":"7","source":"/other","type":"T","data":1}`),
			Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json")}}},
	)
	if err := r.FirstErr(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	var got []broker.Delivery
	err := b.Subscribe(ctx, broker.Subscription{Subscriber: servertest.Name("foreign"), Channels: []string{channel}},
		func(_ context.Context, d broker.Delivery) {
			if got = append(got, d); len(got) == 2 {
				cancel()
			}
		})
	if err != nil || len(got) != 2 {
		t.Fatalf("%d deliveries, error %v", len(got), err)
	}
	if m := got[0].Message; got[0].Err == nil || m.ID != channel+"/0/0" || m.Key != "k" || string(m.Payload) != "plain" || m.Time.IsZero() {
		t.Errorf("plain record became %+v, error %v", m, got[0].Err)
	}
	if m := got[1].Message; got[1].Err != nil || m.ID != "7" || m.Source != "/other" || m.Type != "T" || string(m.Payload) != "1" {
		t.Errorf("structured CloudEvent became %+v, error %v", m, got[1].Err)
	}
}

// TestTopicRemoved removes a topic under a subscription.
func TestTopicRemoved(t *testing.T) {
	t.Parallel()
	b := setup(t, kafka.Config{})
	channel := b.channel(t, 1)
	mustPublish(t, b.Broker, message(channel, "k", "1"))
	ctx := testContext(t)
	var once sync.Once
	err := b.Subscribe(ctx, broker.Subscription{Subscriber: servertest.Name("removed"), Channels: []string{channel}},
		func(_ context.Context, d broker.Delivery) {
			d.Ack()
			once.Do(func() {
				if _, err := kadm.NewClient(b.raw).DeleteTopics(ctx, channel); err != nil {
					t.Error(err)
				}
			})
		})
	if err == nil || !strings.Contains(err.Error(), "topic does not exist") {
		t.Fatalf("Subscribe returned %v, want an error that the topic is gone", err)
	}
}
