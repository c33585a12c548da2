package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	"github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/broker/kafka"
	"tidings.example/broker/natsjs"
	"tidings.example/internal/servertest"
)

// ours is a message with every field that has a place on the wire.
func ours(channel string) *tidings.Message {
	return &tidings.Message{
		ID: tidings.NewID(), Source: "orders-db", Channel: channel, Key: "order-17", Type: "OrderCreated", Subject: "17",
		Time: time.Date(2026, 3, 1, 9, 30, 0, 123456000, time.UTC), ContentType: "application/json",
		Headers: tidings.Headers{tidings.HeaderCorrelationID: "c-1", "tenant": "north"},
		Payload: []byte(`{"total":42}`),
		Stamp:   tidings.Stamp{Epoch: "01a1fd709fe5ea1c261c03", Lane: 7, Sequence: 3},
	}
}

// sameAsOurs compares what the SDK has read with the message.
func sameAsOurs(t *testing.T, e *event.Event, m *tidings.Message) {
	t.Helper()
	if err := e.Validate(); err != nil {
		t.Errorf("the SDK does not take the event for valid: %v", err)
	}
	got := map[string]any{"id": e.ID(), "source": e.Source(), "type": e.Type(), "subject": e.Subject(), "specversion": e.SpecVersion(),
		"datacontenttype": e.DataContentType(), "time": e.Time().UTC(), "data": string(e.Data())}
	want := map[string]any{"id": m.ID, "source": m.Source, "type": m.Type, "subject": m.Subject, "specversion": "1.0",
		"datacontenttype": m.ContentType, "time": m.Time, "data": string(m.Payload)}
	for name, value := range map[string]string{"partitionkey": m.Key, "epoch": m.Stamp.Epoch, "lane": "7",
		"sequence": "0000000000000000003", "correlationid": "c-1", "tenant": "north"} {
		got[name], want[name] = e.Extensions()[name], value
	}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: the SDK reads %v, sent was %v", name, got[name], want[name])
		}
	}
}

// theirs is an event as the SDK makes one.
func theirs(t *testing.T) *event.Event {
	t.Helper()
	e := event.New()
	e.SetID("their-1")
	e.SetSource("/their/service")
	e.SetType("com.example.paid")
	e.SetSubject("invoice-9")
	e.SetTime(time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC))
	e.SetExtension("partitionkey", "invoice-9")
	e.SetExtension("tenant", "south")
	if err := e.SetData("application/json", map[string]int{"amount": 5}); err != nil {
		t.Fatal(err)
	}
	return &e
}

// receivesTheirs subscribes as a service of Tidings does, and compares.
func receivesTheirs(t *testing.T, b broker.Subscriber, channel string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var got *broker.Delivery
	err := b.Subscribe(ctx, broker.Subscription{Subscriber: servertest.Name("interop"), Channels: []string{channel}},
		func(_ context.Context, d broker.Delivery) {
			got = &d
			d.Ack()
			stop()
		})
	if err != nil || got == nil {
		t.Fatalf("nothing was received: %v", err)
	}
	m := got.Message
	var data struct{ Amount int }
	if err := json.Unmarshal(m.Payload, &data); err != nil || got.Err != nil || data.Amount != 5 {
		t.Errorf("payload %q, %v, %v", m.Payload, err, got.Err)
	}
	if m.ID != "their-1" || m.Source != "/their/service" || m.Type != "com.example.paid" || m.Subject != "invoice-9" || m.Key != "invoice-9" ||
		m.Headers["tenant"] != "south" || m.ContentType != "application/json" || !m.Time.Equal(time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)) {
		t.Errorf("received %+v", m)
	}
	if _, ok := m.Lane(); ok {
		t.Error("an event without numbers has a lane")
	}
}

func publish(t *testing.T, b broker.Publisher, m *tidings.Message) {
	t.Helper()
	done := make(chan error, 1)
	b.Publish(t.Context(), []*tidings.Message{m}, func(_ int, err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestKafka(t *testing.T) {
	t.Parallel()
	url := servertest.Kafka(t)
	b, err := kafka.Open(t.Context(), kafka.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	config := sarama.NewConfig()
	config.Producer.Return.Successes = true
	config.Version = sarama.V2_8_0_0
	client, err := sarama.NewClient([]string{url[len("kafka://"):]}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	t.Run("the SDK reads ours", func(t *testing.T) {
		channel := servertest.Name("interop-ours")
		if err := b.EnsureChannels(t.Context(), channel); err != nil {
			t.Fatal(err)
		}
		m := ours(channel)
		publish(t, b, m)
		e, err := binding.ToEvent(t.Context(), kafka_sarama.NewMessageFromConsumerMessage(firstRecord(t, client, channel)))
		if err != nil {
			t.Fatal(err)
		}
		sameAsOurs(t, e, m)
	})
	for mode, ctx := range map[string]context.Context{
		"binary":     binding.WithForceBinary(t.Context()),
		"structured": binding.WithForceStructured(t.Context()),
	} {
		t.Run("we read the SDK's, "+mode, func(t *testing.T) {
			channel := servertest.Name("interop-theirs")
			if err := b.EnsureChannels(t.Context(), channel); err != nil {
				t.Fatal(err)
			}
			record := &sarama.ProducerMessage{Topic: channel}
			if err := kafka_sarama.WriteProducerMessage(ctx, binding.ToMessage(theirs(t)), record); err != nil {
				t.Fatal(err)
			}
			producer, err := sarama.NewSyncProducerFromClient(client)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := producer.SendMessage(record); err != nil {
				t.Fatal(err)
			}
			receivesTheirs(t, b, channel)
		})
	}
}

// firstRecord reads the only record of a topic.
func firstRecord(t *testing.T, client sarama.Client, topic string) *sarama.ConsumerMessage {
	t.Helper()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	partitions, err := client.Partitions(topic)
	if err != nil {
		t.Fatal(err)
	}
	found := make(chan *sarama.ConsumerMessage, 1)
	for _, p := range partitions {
		c, err := consumer.ConsumePartition(topic, p, sarama.OffsetOldest)
		for deadline := time.Now().Add(time.Minute); errors.Is(err, sarama.ErrNotLeaderForPartition) && time.Now().Before(deadline); {
			// The topic is so new that the library asked the wrong broker.
			if err = client.RefreshMetadata(topic); err == nil {
				c, err = consumer.ConsumePartition(topic, p, sarama.OffsetOldest)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			for record := range c.Messages() {
				found <- record
			}
		}()
	}
	select {
	case record := <-found:
		return record
	case <-time.After(time.Minute):
		t.Fatal("no record within a minute")
		return nil
	}
}

func TestNATS(t *testing.T) {
	t.Parallel()
	url := servertest.NATS(t)
	prefix := servertest.Name("interop")
	b, err := natsjs.Open(t.Context(), natsjs.Config{URL: url, Prefix: prefix, Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := conn.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for name := range js.StreamNames() {
			if len(name) > len(prefix) && (name[:len(prefix)] == prefix || name[:3+len(prefix)] == "KV_"+prefix) {
				_ = js.DeleteStream(name)
			}
		}
	})

	t.Run("the SDK reads ours", func(t *testing.T) {
		if err := b.EnsureChannels(t.Context(), "ours"); err != nil {
			t.Fatal(err)
		}
		sub, err := js.SubscribeSync(prefix+".ours.*", nats.DeliverAll(), nats.AckNone())
		if err != nil {
			t.Fatal(err)
		}
		m := ours("ours")
		publish(t, b, m)
		msg, err := sub.NextMsg(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		e, err := binding.ToEvent(t.Context(), nats_jetstream.NewMessage(msg))
		if err != nil {
			t.Fatal(err)
		}
		sameAsOurs(t, e, m)
	})
	for mode, ctx := range map[string]context.Context{
		"binary":     binding.WithForceBinary(t.Context()),
		"structured": binding.WithForceStructured(t.Context()),
	} {
		t.Run("we read the SDK's, "+mode, func(t *testing.T) {
			if err := b.EnsureChannels(t.Context(), mode); err != nil {
				t.Fatal(err)
			}
			var body bytes.Buffer
			header, err := nats_jetstream.WriteMsg(ctx, binding.ToMessage(theirs(t)), &body)
			if err != nil {
				t.Fatal(err)
			}
			msg := nats.NewMsg(prefix + "." + mode + ".0")
			msg.Data = body.Bytes()
			if header != nil {
				msg.Header = header
			}
			if _, err := js.PublishMsg(msg); err != nil {
				t.Fatal(err)
			}
			receivesTheirs(t, b, mode)
		})
	}
}
