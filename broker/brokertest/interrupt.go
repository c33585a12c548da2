package brokertest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/broker"
)

const (
	// interruptions is how often a test interrupts the broker; between two
	// of them a few hundred messages get through.
	interruptions = 4
	// ahead bounds how many messages are published and not yet delivered.
	ahead = 2000
)

// publishAcrossInterruptions keeps publishing while the broker is interrupted,
// under a context that lives on: nothing may fail, nothing be lost, and order
// per key holds for a subscriber that reads all the while.
func publishAcrossInterruptions(t *testing.T, b Broker) {
	ch := channel(t, b)
	sub := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}, nil)
	over, ok := interrupt(t, b, sub)
	if !ok {
		return
	}
	feed := &feed{channel: ch, keys: keyNames(50)}
	ctx := testContext(t)
	var all sync.WaitGroup
	for !closed(over) {
		ms := feed.next(1 + rand.IntN(200))
		all.Add(len(ms))
		b.Publish(ctx, ms, func(_ int, err error) {
			if err != nil {
				t.Errorf("publish: %v", err)
			}
			all.Done()
		})
		sub.waitCount(t, len(feed.made)-ahead)
	}
	all.Wait()
	checkOrder(t, sub.waitAll(t, feed.made))
	reread(t, b, ch, feed.made)
}

// publishAgainAfterFailures gives each call so little time that many fail, and
// follows the protocol of a caller that hears of a failure: wait for all that
// is outstanding, then publish again from the first that failed.
func publishAgainAfterFailures(t *testing.T, b Broker) {
	ch := channel(t, b)
	sub := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}, nil)
	over, ok := interrupt(t, b, sub)
	if !ok {
		return
	}
	feed := &feed{channel: ch, keys: keyNames(20)}
	var waiting []*tidings.Message
	published, failures, limit := 0, 0, 10*time.Millisecond
	for give := time.Now().Add(2 * patience); !closed(over) || len(waiting) > 0; {
		if time.Now().After(give) {
			t.Fatalf("%d messages could not be published", len(waiting))
		}
		if !closed(over) {
			waiting = append(waiting, feed.next(400-len(waiting))...)
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		stored, failed := tryWindow(ctx, b, waiting)
		cancel()
		waiting = waiting[stored:]
		published += stored
		failures += failed
		// So little that some fail, and more where nothing gets through.
		limit = max(limit/2, time.Millisecond)
		if stored == 0 {
			limit = min(limit*8, 5*time.Second)
		}
		sub.waitCount(t, published-ahead)
	}
	t.Logf("%d messages, %d reports of failure", published, failures)
	checkOrder(t, sub.waitAll(t, feed.made))
	reread(t, b, ch, feed.made)
}

// tryWindow publishes in several calls, none waiting for the one before, and
// returns how many come before the first that failed. The context of all calls
// ends inside the first report of a failure: what is handed over after it must
// not be stored.
func tryWindow(ctx context.Context, b Broker, ms []*tidings.Message) (stored, failed int) {
	const piece = 50
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

// interrupt starts to interrupt the broker, each time after some deliveries.
// over is closed some deliveries after the last one.
func interrupt(t *testing.T, b Broker, sub *subscription) (over <-chan struct{}, ok bool) {
	interruptible, ok := b.(Interruptible)
	if !ok {
		t.Log("the broker offers no way to interrupt it")
		return nil, false
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range interruptions {
			sub.await(len(sub.deliveries()) + 300)
			interruptible.Interrupt(t)
		}
		sub.await(len(sub.deliveries()) + 300)
	}()
	t.Cleanup(func() { <-done })
	return done, true
}

// A feed makes messages of several keys in turn, numbered within each key.
type feed struct {
	channel string
	keys    []string
	made    []*tidings.Message
}

func (f *feed) next(n int) []*tidings.Message {
	for range n {
		i := len(f.made)
		f.made = append(f.made, message(f.channel, f.keys[i%len(f.keys)], i/len(f.keys)))
	}
	return f.made[len(f.made)-n:]
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// reread reads the channel from the start: what the broker has stored is in
// order too.
func reread(t *testing.T, b Broker, ch string, ms []*tidings.Message) {
	t.Helper()
	sub := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}, nil)
	checkOrder(t, sub.waitAll(t, ms))
	sub.stop(t)
}
