package brokertest

import (
	"context"
	"sync"
	"testing"

	"tidings.example"
	"tidings.example/broker"
)

// ackedStays stops after everything was acknowledged, some of it twice; the
// next start gets only what is new.
func ackedStays(t *testing.T, b Broker) {
	ch := channel(t, b)
	s := broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}
	ms := sequence(ch, 310, keyNames(10)...)
	old, fresh := ms[:300], ms[300:]
	publish(t, b, old...)
	first := subscribe(t, b, s, func(_ context.Context, d broker.Delivery) {
		d.Ack()
		d.Ack()
	})
	first.waitAll(t, old)
	first.stop(t)
	publish(t, b, fresh...)
	got := subscribe(t, b, s, nil).waitAll(t, fresh)
	if len(got) != len(fresh) {
		t.Errorf("delivered %d, want only the %d new ones:%s", len(got), len(fresh), summary(got))
	}
}

// unackedAgain acknowledges the first few of a key; the rest comes again, from
// the first one on.
func unackedAgain(t *testing.T, b Broker) {
	ch := channel(t, b)
	s := broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}
	ms := sequence(ch, 100, "k")
	publish(t, b, ms...)
	first := subscribe(t, b, s, func(_ context.Context, d broker.Delivery) {
		if number(t, d) < 40 {
			d.Ack()
		}
	})
	first.waitAll(t, ms)
	first.stop(t)
	again := subscribe(t, b, s, nil)
	again.waitAll(t, ms[40:])
	again.stop(t)
	wantNumbers(t, again.deliveries(), 40, 100)
	last := message(ch, "k", 100)
	publish(t, b, last)
	third := subscribe(t, b, s, nil)
	wantNumbers(t, third.waitAll(t, []*tidings.Message{last}), 100, 101)
}

func wantNumbers(t *testing.T, got []broker.Delivery, from, to int) {
	t.Helper()
	for i, d := range got {
		if n := number(t, d); n != from+i {
			t.Fatalf("delivery %d is number %d, want %d", i, n, from+i)
		}
	}
	if len(got) != to-from {
		t.Fatalf("%d deliveries, want the numbers from %d to %d", len(got), from, to-1)
	}
}

// ackedOutOfOrder leaves one message open and acknowledges everything else,
// backwards: the open one must come again, first of its key.
func ackedOutOfOrder(t *testing.T, b Broker) {
	const n, open = 200, 57
	ch := channel(t, b)
	s := broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}
	ms := sequence(ch, n, "k")
	publish(t, b, ms...)
	first := subscribe(t, b, s, func(context.Context, broker.Delivery) {})
	got := first.waitAll(t, ms)
	for i := len(got) - 1; i >= 0; i-- {
		if number(t, got[i]) != open {
			got[i].Ack()
		}
	}
	first.stop(t)
	again := subscribe(t, b, s, nil)
	got = again.waitAll(t, ms[open:open+1])
	if first := number(t, got[0]); first != open {
		t.Fatalf("number %d was delivered first, want %d", first, open)
	}
	again.stop(t)
	last := message(ch, "k", n)
	publish(t, b, last)
	third := subscribe(t, b, s, nil).waitAll(t, []*tidings.Message{last})
	for _, d := range third {
		if number(t, d) <= open {
			t.Errorf("number %d was delivered again after it and all before it were acknowledged", number(t, d))
		}
	}
}

// stopWaits ends the subscription while a deliver runs: its context ends, and
// Subscribe returns after it.
func stopWaits(t *testing.T, b Broker) {
	ch := channel(t, b)
	publish(t, b, sequence(ch, 50, keyNames(5)...)...)
	returned := make(chan struct{})
	var once sync.Once
	var sub *subscription
	ready := make(chan struct{})
	sub = subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}},
		func(ctx context.Context, d broker.Delivery) {
			<-ctx.Done()
			<-ready
			select {
			case <-sub.stopped:
				t.Error("Subscribe returned while deliver was running")
			default:
			}
			once.Do(func() { close(returned) })
		})
	close(ready)
	sub.waitCount(t, 1)
	sub.stop(t)
	select {
	case <-returned:
	default:
		t.Error("Subscribe returned before deliver did")
	}
	n := len(sub.deliveries())
	// A deliver after the return would be recorded by the time another
	// subscriber has received everything.
	other := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}, nil)
	other.waitCount(t, 50)
	if now := len(sub.deliveries()); now != n {
		t.Errorf("deliver was called %d times after Subscribe had returned", now-n)
	}
}

// ackedWhileStopping acknowledges between the end of the context and the
// return of deliver: that is stored.
func ackedWhileStopping(t *testing.T, b Broker) {
	ch := channel(t, b)
	s := broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}
	ms := sequence(ch, 5, "k")
	publish(t, b, ms[:4]...)
	first := subscribe(t, b, s, func(ctx context.Context, d broker.Delivery) {
		if number(t, d) == 2 {
			<-ctx.Done()
		}
		d.Ack()
	})
	first.waitCount(t, 3)
	first.stop(t)
	publish(t, b, ms[4])
	handled := len(first.deliveries())
	again := subscribe(t, b, s, nil)
	wantNumbers(t, again.waitAll(t, ms[4:]), handled, 5)
}
