package inproc_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/broker/inproc"
)

var errBroken = errors.New("broken")

func messages(keys ...string) []*tidings.Message {
	ms := make([]*tidings.Message, len(keys))
	for i, key := range keys {
		ms[i] = &tidings.Message{ID: strconv.Itoa(i), Source: "test", Channel: "c", Key: key, Type: "t", Time: time.Now(), ContentType: "text/plain"}
	}
	return ms
}

// publish returns what done was called with; nil where it was not called.
func publish(b *inproc.Broker, ms []*tidings.Message) (reports []string) {
	reports = make([]string, len(ms))
	b.Publish(context.Background(), ms, func(i int, err error) {
		if reports[i] != "" {
			reports[i] = "twice"
			return
		}
		reports[i] = "ok"
		if err != nil {
			reports[i] = "failed"
		}
	})
	return reports
}

func stored(b *inproc.Broker) (ids []string) {
	for _, m := range b.Messages("c") {
		ids = append(ids, m.ID)
	}
	return ids
}

func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestFailNextFailsLaterOnesOfTheKey(t *testing.T) {
	t.Parallel()
	b := inproc.New(inproc.Config{})
	b.FailNext(1, errBroken)
	equal(t, "reports", publish(b, messages("a", "b", "a", "b")), "failed", "ok", "failed", "ok")
	equal(t, "stored", stored(b), "1", "3")
	equal(t, "reports afterwards", publish(b, messages("a")), "ok")
}

func TestFailedKeyIsHeldUntilReported(t *testing.T) {
	t.Parallel()
	b := inproc.New(inproc.Config{})
	release := b.HoldAcks()
	b.FailNext(1, errBroken)
	first := publish(b, messages("a"))
	second := publish(b, messages("b", "a"))
	equal(t, "first while held", first, "")
	equal(t, "second while held", second, "", "")
	if n := b.Held(); n != 3 {
		t.Errorf("%d acknowledgements are held, want 3", n)
	}
	release()
	release()
	equal(t, "first", first, "failed")
	equal(t, "second", second, "ok", "failed")
	equal(t, "stored", stored(b), "0")
	equal(t, "afterwards", publish(b, messages("a")), "ok")
}

func TestLoseAckNextStoresAndFails(t *testing.T) {
	t.Parallel()
	b := inproc.New(inproc.Config{})
	b.LoseAckNext(1, errBroken)
	equal(t, "reports", publish(b, messages("a", "a")), "failed", "failed")
	equal(t, "stored", stored(b), "0")
}

func TestCutFailsWithTheContext(t *testing.T) {
	t.Parallel()
	b := inproc.New(inproc.Config{})
	restore := b.Cut()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b.Publish(ctx, messages("a"), func(_ int, err error) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("failed with %v", err)
		}
	})
	published := make(chan []string)
	go func() { published <- publish(b, messages("a")) }()
	restore()
	equal(t, "after restoring", <-published, "ok")
	equal(t, "stored", stored(b), "0")
}

func TestDisturb(t *testing.T) {
	t.Parallel()
	const n = 2000
	b := inproc.New(inproc.Config{Partitions: 1})
	var ms []*tidings.Message
	for range n {
		ms = append(ms, messages("a")...)
	}
	for i, m := range ms {
		m.ID = strconv.Itoa(i)
	}
	publish(b, ms)
	b.Disturb(inproc.Disturbance{Duplicate: 0.1, Reorder: 0.1, Drop: 0.1, Seed: 7})
	ctx, cancel := context.WithCancel(t.Context())
	counts := map[int]int{}
	last, late := -1, 0
	err := b.Subscribe(ctx, broker.Subscription{Subscriber: "s", Channels: []string{"c"}, MaxInFlight: 5},
		func(_ context.Context, d broker.Delivery) {
			i, _ := strconv.Atoi(d.Message.ID)
			counts[i]++
			if i < last {
				late++
			}
			last = i
			d.Ack()
			if i >= n-32 {
				cancel()
			}
		})
	if err != nil {
		t.Fatal(err)
	}
	twice := 0
	for _, c := range counts {
		if c > 1 {
			twice++
		}
	}
	if dropped := n - len(counts); dropped < n/20 || twice < n/20 || late < n/20 {
		t.Errorf("of %d messages %d were dropped, %d came twice, %d came late", n, dropped, twice, late)
	}
}

func TestRebalanceDeliversUnacknowledgedAgain(t *testing.T) {
	t.Parallel()
	b := inproc.New(inproc.Config{Partitions: 1})
	publish(b, messages("a", "a", "a"))
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	err := b.Subscribe(ctx, broker.Subscription{Subscriber: "s", Channels: []string{"c"}},
		func(_ context.Context, d broker.Delivery) {
			got = append(got, d.Message.ID)
			switch len(got) {
			case 1:
				d.Ack()
			case 2:
				b.Rebalance("s")
			case 4:
				cancel()
			}
		})
	if err != nil {
		t.Fatal(err)
	}
	// The third may slip through before the worker sees that it has to stop.
	if !slices.Equal(got, []string{"0", "1", "1", "2"}) && !slices.Equal(got, []string{"0", "1", "2", "1"}) {
		t.Errorf("delivered %q", got)
	}
}
