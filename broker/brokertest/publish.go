package brokertest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"tidings.example"
	"tidings.example/broker"
)

// orderPerKey publishes thousands of messages of many keys, without waiting in
// between, while a subscriber reads: all arrive, each once, in order per key,
// and never two of one key at the same time.
func orderPerKey(t *testing.T, b Broker) {
	const n = 10_000
	ch := channel(t, b)
	keys := append(keyNames(97), "")
	ms := sequence(ch, n, keys...)
	var handling sync.Map
	sub := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}},
		func(_ context.Context, d broker.Delivery) {
			if key := d.Message.Key; key != "" {
				if _, busy := handling.LoadOrStore(key, true); busy {
					t.Errorf("two deliveries of key %s at the same time", key)
				}
				defer handling.Delete(key)
			}
			d.Ack()
		})
	publishInPieces(t, b, ms)
	got := sub.waitAll(t, ms)
	checkOrder(t, got)
	checkOnce(t, got)
}

// publishInPieces publishes in calls of random sizes, none waiting for the
// acknowledgements of those before.
func publishInPieces(t *testing.T, b Broker, ms []*tidings.Message) {
	t.Helper()
	ctx := testContext(t)
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	random := rand.New(rand.NewPCG(1, uint64(len(ms))))
	for len(ms) > 0 {
		n := min(len(ms), 1+random.IntN(300))
		all.Add(n)
		b.Publish(ctx, ms[:n], func(_ int, err error) {
			if err != nil {
				failed.Store(&err)
			}
			all.Done()
		})
		ms = ms[n:]
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		t.Fatalf("publish: %v", *err)
	}
}

// doneOnce publishes from several goroutines and counts the calls of done.
func doneOnce(t *testing.T, b Broker) {
	const publishers, n = 4, 1000
	ch := channel(t, b)
	ctx := testContext(t)
	counts := make([]atomic.Int32, publishers*n)
	var all, calls sync.WaitGroup
	all.Add(publishers * n)
	for p := range publishers {
		calls.Go(func() {
			ms := sequence(ch, n, "shared", "")
			b.Publish(ctx, ms, func(i int, err error) {
				if err != nil {
					t.Errorf("publish: %v", err)
				}
				if counts[p*n+i].Add(1) == 1 {
					all.Done()
				}
			})
		})
	}
	calls.Wait()
	all.Wait()
	// A second report for one of them would in all likelihood have come by the
	// time another message of the same key has gone through.
	publish(t, b, message(ch, "shared", 0))
	for i := range counts {
		if c := counts[i].Load(); c != 1 {
			t.Fatalf("done was called %d times for one message", c)
		}
	}
}

// publishDone publishes with a context that is done: each message is reported
// once, and a message that was reported as stored is there.
func publishDone(t *testing.T, b Broker) {
	ch := channel(t, b)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ms := sequence(ch, 100, "a", "b", "c")
	var stored []*tidings.Message
	for i, err := range tryPublish(ctx, t, b, ms) {
		switch {
		case err == nil:
			stored = append(stored, ms[i])
		case !errors.Is(err, context.Canceled):
			t.Errorf("message %d failed with %v, want context.Canceled", i, err)
		}
	}
	last := message(ch, "d", 0)
	publish(t, b, last)
	sub := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}, nil)
	checkOrder(t, sub.waitAll(t, append(stored, last)))
}

// tooLarge checks that Check refuses what the broker never takes.
func tooLarge(t *testing.T, b Broker) {
	m := message(channel(t, b), "k", 0)
	m.Payload = incompressible(tidings.MaxPayload)
	if err := b.Check(testContext(t), m); !errors.Is(err, broker.ErrTooLarge) {
		t.Fatalf("Check of %d bytes returned %v, want ErrTooLarge", len(m.Payload), err)
	}
}

// largest finds the largest payload that Check lets pass, with and without long
// headers: Publish must take it.
func largest(t *testing.T, b Broker) {
	ch := channel(t, b)
	var ms []*tidings.Message
	for _, headers := range []int{0, 4} {
		m := message(ch, "k", 0)
		m.Headers = tidings.Headers{}
		for i := range headers {
			m.Headers["h"+string(rune('a'+i))] = string(incompressibleText(tidings.MaxHeaderValue))
		}
		whole := incompressible(tidings.MaxPayload)
		low, high := 64<<10, len(whole) // low passes, high does not
		for low < high-1 {
			middle := (low + high) / 2
			m.Payload = whole[:middle]
			if b.Check(testContext(t), m) == nil {
				low = middle
			} else {
				high = middle
			}
		}
		m.Payload = whole[:low]
		t.Logf("largest payload with %d long headers: %d bytes", headers, low)
		ms = append(ms, m)
	}
	publish(t, b, ms...)
	sub := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}, nil)
	for i, d := range sub.waitAll(t, ms)[:len(ms)] {
		compare(t, &d.Message, ms[i])
	}
}

func incompressible(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func incompressibleText(n int) []byte {
	b := incompressible(n)
	for i := range b {
		b[i] = 'a' + b[i]%26
	}
	return b
}
