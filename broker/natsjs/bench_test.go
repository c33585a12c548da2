package natsjs

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/internal/servertest"
)

func benchMessages(n, keys int) []*tidings.Message {
	ms := make([]*tidings.Message, n)
	payload := []byte(`{"text":"` + strings.Repeat("x", 290) + `"}`)
	for i := range ms {
		key := i % keys
		ms[i] = &tidings.Message{ID: tidings.NewID(), Source: "bench", Channel: "bench", Key: fmt.Sprintf("key-%d", key),
			Type: "bench.Happened", Time: time.Now(), ContentType: "application/json", Payload: payload,
			Stamp: tidings.Stamp{Epoch: "bench", Lane: key % tidings.DefaultLanes, Sequence: uint64(i + 1)}}
	}
	return ms
}

func benchServers(b *testing.B, run func(b *testing.B, br *Broker)) {
	b.Run("in-process", func(b *testing.B) {
		br := openBroker(b, Config{Server: startServer(b, EmbeddedConfig{}).server})
		run(b, br)
	})
	b.Run("remote", func(b *testing.B) {
		br := openBroker(b, Config{URL: servertest.NATS(b), Prefix: servertest.Name("bench")})
		b.Cleanup(func() { removeAll(b, br) })
		run(b, br)
	})
}

func publishAll(b testing.TB, br *Broker, ms []*tidings.Message) {
	if err := br.EnsureChannels(context.Background(), "bench"); err != nil {
		b.Fatal(err)
	}
	var all sync.WaitGroup
	all.Add(len(ms))
	for from := 0; from < len(ms); from += 500 {
		br.Publish(context.Background(), ms[from:min(from+500, len(ms))], func(_ int, err error) {
			if err != nil {
				b.Error(err)
			}
			all.Done()
		})
	}
	all.Wait()
}

// BenchmarkPublish publishes messages of 300 bytes; a hot key is the worst
// case, since each waits for the one before.
func BenchmarkPublish(b *testing.B) {
	for _, keys := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			benchServers(b, func(b *testing.B, br *Broker) {
				ms := benchMessages(b.N, keys)
				b.ResetTimer()
				publishAll(b, br, ms)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			})
		})
	}
}

// BenchmarkSubscribe receives and acknowledges what was published before.
func BenchmarkSubscribe(b *testing.B) {
	benchServers(b, func(b *testing.B, br *Broker) {
		publishAll(b, br, benchMessages(b.N, 1000))
		ctx, cancel := context.WithCancel(b.Context())
		var mu sync.Mutex
		n := 0
		b.ResetTimer()
		err := br.Subscribe(ctx, broker.Subscription{Subscriber: tidings.NewID(), Channels: []string{"bench"}},
			func(_ context.Context, d broker.Delivery) {
				d.Ack()
				mu.Lock()
				defer mu.Unlock()
				if n++; n == b.N {
					cancel()
				}
			})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}
