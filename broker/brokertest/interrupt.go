package brokertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/broker"
)

// publishAcrossInterruptions keeps publishing while the broker is interrupted,
// under a context that lives on: nothing may fail, nothing be lost, and order
// per key holds for a subscriber that reads all the while.
func publishAcrossInterruptions(t *testing.T, b Broker) {
	interruptible, ok := b.(Interruptible)
	if !ok {
		t.Log("the broker offers no way to interrupt it")
		return
	}
	ch := channel(t, b)
	sub := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}, nil)
	ms := sequence(ch, 12_000, keyNames(50)...)
	published := make(chan struct{})
	go func() {
		defer close(published)
		publishInPieces(t, b, ms)
	}()
	for _, n := range []int{500, 4000} {
		sub.waitCount(t, n)
		interruptible.Interrupt(t)
	}
	select {
	case <-published:
	case <-time.After(2 * patience):
		t.Fatal("publishing did not end after the interruptions")
	}
	checkOrder(t, sub.waitAll(t, ms))
	reread(t, b, ch, ms)
}

// publishAgainAfterFailures gives up quickly, as a caller that hears of
// failures, and follows the protocol: wait for all, then again from the first
// that failed.
func publishAgainAfterFailures(t *testing.T, b Broker) {
	interruptible, ok := b.(Interruptible)
	if !ok {
		t.Log("the broker offers no way to interrupt it")
		return
	}
	ch := channel(t, b)
	sub := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}, nil)
	ms := sequence(ch, 6000, keyNames(20)...)
	published := make(chan struct{})
	var failures int
	go func() {
		defer close(published)
		failures = publishStubbornly(t, b, ms)
	}()
	for _, n := range []int{300, 2000, 4000} {
		sub.waitCount(t, n)
		interruptible.Interrupt(t)
	}
	select {
	case <-published:
	case <-time.After(2 * patience):
		t.Fatal("publishing did not end after the interruptions")
	}
	t.Logf("%d failures were reported and published again", failures)
	checkOrder(t, sub.waitAll(t, ms))
	reread(t, b, ch, ms)
}

// publishStubbornly publishes windows of several calls, each call with little
// time, and after a failure goes back to the first message that failed.
func publishStubbornly(t *testing.T, b Broker, ms []*tidings.Message) (failures int) {
	const call, window = 50, 8
	give := time.Now().Add(2 * patience)
	for next := 0; next < len(ms); {
		if time.Now().After(give) {
			t.Errorf("only %d of %d messages were published", next, len(ms))
			return failures
		}
		ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
		var mu sync.Mutex
		var all sync.WaitGroup
		end := min(next+call*window, len(ms))
		first := end
		for from := next; from < end; from += call {
			to := min(from+call, end)
			all.Add(to - from)
			b.Publish(ctx, ms[from:to], func(i int, err error) {
				defer all.Done()
				if err != nil {
					mu.Lock()
					first = min(first, from+i)
					failures++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		cancel()
		next = first
	}
	return failures
}

// reread reads the channel from the start: what the broker has stored is in
// order too.
func reread(t *testing.T, b Broker, ch string, ms []*tidings.Message) {
	t.Helper()
	sub := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}, nil)
	checkOrder(t, sub.waitAll(t, ms))
	sub.stop(t)
}
