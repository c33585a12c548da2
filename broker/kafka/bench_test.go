package kafka_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/broker/kafka"
	"tidings.example/internal/servertest"
)

// BenchmarkPublish publishes stamped messages of 300 bytes and 1,000 keys, as a
// relay does: in calls of 500, none waiting for the one before.
func BenchmarkPublish(b *testing.B) {
	k, channel, _ := benchSetup(b)
	publishMany(b, k, benchMessages(channel, b.N))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkBareProducer is the floor: the client library's own producer with
// records of the same size.
func BenchmarkBareProducer(b *testing.B) {
	_, channel, client := benchSetup(b)
	ms := benchMessages(channel, b.N)
	codec := broker.KafkaCloudEvents()
	records := make([]*kgo.Record, len(ms))
	for i, m := range ms {
		r, err := codec.Encode(m)
		if err != nil {
			b.Fatal(err)
		}
		records[i] = &kgo.Record{Topic: channel, Key: []byte(r.Key), Value: r.Value}
		for _, h := range r.Headers {
			records[i].Headers = append(records[i].Headers, kgo.RecordHeader{Key: h.Name, Value: []byte(h.Value)})
		}
	}
	var all sync.WaitGroup
	all.Add(len(records))
	b.ResetTimer()
	for _, r := range records {
		client.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				b.Error(err)
			}
			all.Done()
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkSubscribe receives and acknowledges what was published before.
func BenchmarkSubscribe(b *testing.B) {
	k, channel, _ := benchSetup(b)
	publishMany(b, k, benchMessages(channel, b.N))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var got atomic.Int64
	b.ResetTimer()
	b.StartTimer()
	err := k.Subscribe(ctx, broker.Subscription{Subscriber: servertest.Name("bench"), Channels: []string{channel}},
		func(_ context.Context, d broker.Delivery) {
			if d.Err != nil {
				b.Error(d.Err)
			}
			d.Ack()
			if got.Add(1) == int64(b.N) {
				b.StopTimer()
				cancel()
			}
		})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func benchSetup(b *testing.B) (*kafka.Broker, string, *kgo.Client) {
	b.Helper()
	url := servertest.Kafka(b)
	k, err := kafka.Open(b.Context(), kafka.Config{URL: url})
	if err != nil {
		b.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(url, "kafka://")), kgo.MaxBufferedRecords(1<<20),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(0))
	if err != nil {
		b.Fatal(err)
	}
	channel := servertest.Name("bench")
	if err := k.EnsureChannels(b.Context(), channel); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if _, err := kadm.NewClient(client).DeleteTopics(context.Background(), channel); err != nil {
			b.Error(err)
		}
		client.Close()
		k.Close()
	})
	b.ReportAllocs()
	b.SetBytes(300)
	return k, channel, client
}

func benchMessages(channel string, n int) []*tidings.Message {
	// Text as it is in JSON: half of it repeats from message to message.
	payload := make([]byte, 0, 300)
	random := rand.New(rand.NewPCG(1, 2))
	for len(payload) < 300 {
		payload = append(payload, `"name":"`...)
		payload = strconv.AppendUint(payload, random.Uint64(), 36)
		payload = append(payload, `",`...)
	}
	ms := make([]*tidings.Message, n)
	for i := range ms {
		ms[i] = &tidings.Message{
			ID: tidings.NewID(), Source: "orders", Channel: channel, Key: "customer-" + strconv.Itoa(i%1000), Type: "OrderCreated",
			Time: time.Now(), ContentType: "application/json", Payload: payload[:300],
			Headers: tidings.Headers{tidings.HeaderCorrelationID: "0199a3b4-7c11-7d2e-8a7a-5f1d2b3c4d5e"},
			Stamp:   tidings.Stamp{Epoch: "0199a3b0-0000-7000-8000-000000000001", Lane: i % 960, Sequence: uint64(i + 1)},
		}
	}
	return ms
}

func publishMany(b *testing.B, k *kafka.Broker, ms []*tidings.Message) {
	b.Helper()
	var all sync.WaitGroup
	all.Add(len(ms))
	b.ResetTimer()
	for from := 0; from < len(ms); from += 500 {
		k.Publish(context.Background(), ms[from:min(from+500, len(ms))], func(_ int, err error) {
			if err != nil {
				b.Error(err)
			}
			all.Done()
		})
	}
	all.Wait()
	b.StopTimer()
}
