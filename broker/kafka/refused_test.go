package kafka_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tidings.example"
	"tidings.example/broker/kafka"
)

// TestOrderWhenTheClusterRefuses has a cluster that answers every tenth or so
// produce request with an error: some that are tried again inside the client
// library, and one that is not. The publisher follows the protocol, and what is
// stored must be in order.
func TestOrderWhenTheClusterRefuses(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(4, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	b, err := kafka.Open(t.Context(), kafka.Config{URL: "kafka://" + strings.Join(cluster.ListenAddrs(), ",")})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, fault := range []struct {
		err   *kerr.Error
		every int
	}{{kerr.UnknownServerError, 10}, {kerr.InvalidRecord, 17}, {kerr.NotLeaderForPartition, 101}, {kerr.NotEnoughReplicasAfterAppend, 53}} {
		seen := 0
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: fault.err, Count: -1, When: func(kmsg.Request) bool {
			seen++
			return seen%fault.every == 0
		}})
	}
	const n, keys = 8_000, 11
	ms := make([]*tidings.Message, n)
	for i := range ms {
		ms[i] = message("orders", "key-"+strconv.Itoa(i%keys), strconv.Itoa(i/keys))
	}
	failures := 0
	for waiting := ms; len(waiting) > 0; {
		stored, failed := window(testContext(t), b, waiting[:min(len(waiting), 1000)])
		waiting = waiting[stored:]
		failures += failed
	}
	t.Logf("%d reports of failure", failures)
	if failures == 0 {
		t.Error("no message failed; the test shows nothing")
	}
	checkStored(t, cluster, n, keys)
}

// window publishes in several calls, and returns how many messages come before
// the first that failed. A report of failure ends their context: what is handed
// over later may be stored.
func window(ctx context.Context, b *kafka.Broker, ms []*tidings.Message) (stored, failed int) {
	const piece = 20
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	all.Add(len(ms))
	stored = len(ms)
	for from := 0; from < len(ms); from += piece {
		b.Publish(ctx, ms[from:min(from+piece, len(ms))], func(i int, err error) {
			defer all.Done()
			if err != nil {
				cancel()
				mu.Lock()
				defer mu.Unlock()
				failed++
				stored = min(stored, from+i)
			}
		})
	}
	all.Wait()
	return stored, failed
}

// checkStored reads the topic and checks that the first occurrences of each
// key's numbers are in order, and all there.
func checkStored(t *testing.T, cluster *kfake.Cluster, n, keys int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics("orders"), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	next := map[string]int{}
	ctx := testContext(t)
	for total := 0; total < n; {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("only %d of %d messages are stored", total, n)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			number, err := strconv.Atoi(string(r.Value))
			if err != nil {
				t.Fatal(err)
			}
			switch key := string(r.Key); {
			case number == next[key]:
				next[key]++
				total++
			case number > next[key]:
				t.Fatalf("%s: number %d is stored before %d", key, number, next[key])
			}
		})
	}
	if len(next) != keys {
		t.Fatalf("%d keys are stored, want %d", len(next), keys)
	}
}

func message(channel, key, payload string) *tidings.Message {
	return &tidings.Message{
		ID: tidings.NewID(), Source: "test", Channel: channel, Key: key, Type: "Tested", Time: time.Now(),
		ContentType: "text/plain", Payload: []byte(payload),
	}
}

// publish publishes and returns the errors, by index.
func publish(ctx context.Context, b *kafka.Broker, ms ...*tidings.Message) []error {
	errs := make([]error, len(ms))
	var all sync.WaitGroup
	all.Add(len(ms))
	b.Publish(ctx, ms, func(i int, err error) {
		errs[i] = err
		all.Done()
	})
	all.Wait()
	return errs
}

func mustPublish(t *testing.T, b *kafka.Broker, ms ...*tidings.Message) {
	t.Helper()
	for i, err := range publish(testContext(t), b, ms...) {
		if err != nil {
			t.Fatal(fmt.Errorf("message %d of %d: %w", i, len(ms), err))
		}
	}
}
