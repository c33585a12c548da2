package brokertest

import (
	"context"
	"sync/atomic"
	"testing"

	"tidings.example"
	"tidings.example/broker"
)

// oldestFirst subscribes after the fact.
func oldestFirst(t *testing.T, b Broker) {
	ch := channel(t, b)
	ms := sequence(ch, 560, keyNames(7)...)
	old, more := ms[:490], ms[490:]
	publish(t, b, old...)
	sub := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}, nil)
	sub.waitAll(t, old)
	publish(t, b, more...)
	got := sub.waitAll(t, ms)
	checkOrder(t, got)
	checkOnce(t, got)
}

// eachGetsAll has two subscribers on one channel.
func eachGetsAll(t *testing.T, b Broker) {
	ch := channel(t, b)
	ms := sequence(ch, 300, keyNames(5)...)
	publish(t, b, ms[:100]...)
	one := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}, nil)
	two := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}, nil)
	publish(t, b, ms[100:]...)
	for _, sub := range []*subscription{one, two} {
		got := sub.waitAll(t, ms)
		checkOrder(t, got)
		checkOnce(t, got)
	}
}

// manyChannels subscribes to many channels at once, with the same keys in each.
func manyChannels(t *testing.T, b Broker) {
	names := channels(t, b, 12)
	var ms []*tidings.Message
	for _, ch := range names {
		ms = append(ms, sequence(ch, 60, keyNames(3)...)...)
	}
	sub := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: names}, nil)
	publish(t, b, ms...)
	got := sub.waitAll(t, ms)
	checkOrder(t, got)
	checkOnce(t, got)
}

// maxInFlight acknowledges nothing until the bound is reached, then one for
// each delivery.
func maxInFlight(t *testing.T, b Broker) {
	const bound, n = 10, 200
	ch := channel(t, b)
	ms := sequence(ch, n, keyNames(20)...)
	publish(t, b, ms...)
	var open atomic.Int32
	sub := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}, MaxInFlight: bound},
		func(context.Context, broker.Delivery) {
			if now := open.Add(1); now > bound {
				t.Errorf("%d deliveries in flight, more than %d", now, bound)
			}
		})
	for acked := range n {
		got := sub.waitCount(t, min(acked+bound, n))
		open.Add(-1)
		got[acked].Ack()
	}
	checkOrder(t, sub.deliveries())
	checkOnce(t, sub.deliveries())
}

// badSubscription gives subscriptions that can never work.
func badSubscription(t *testing.T, b Broker) {
	ch := channel(t, b)
	bad := map[string]broker.Subscription{
		"no name":      {Channels: []string{ch}},
		"bad name":     {Subscriber: "a b", Channels: []string{ch}},
		"no channel":   {Subscriber: subscriberName()},
		"bad channel":  {Subscriber: subscriberName(), Channels: []string{ch, "a/b"}},
		"same channel": {Subscriber: subscriberName(), Channels: []string{ch, ch}},
	}
	if _, ok := b.(broker.Provisioner); ok {
		bad["missing channel"] = broker.Subscription{Subscriber: subscriberName(), Channels: []string{"missing-" + tidings.NewID()}}
	}
	for name, s := range bad {
		err := b.Subscribe(testContext(t), s, func(context.Context, broker.Delivery) {})
		if err == nil {
			t.Errorf("%s: Subscribe returned nil", name)
		}
	}
}

// ensureTwice checks that a channel that is there is left as it is.
func ensureTwice(t *testing.T, b Broker) {
	p, ok := b.(broker.Provisioner)
	if !ok {
		t.Log("the broker creates channels by itself")
		return
	}
	ch := channel(t, b)
	ms := sequence(ch, 10, "k")
	publish(t, b, ms...)
	if err := p.EnsureChannels(testContext(t), ch, ch+"-more"); err != nil {
		t.Fatalf("ensure channels again: %v", err)
	}
	other := message(ch+"-more", "k", 0)
	publish(t, b, other)
	sub := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch, ch + "-more"}}, nil)
	sub.waitAll(t, append(ms, other))
	if err := p.EnsureChannels(testContext(t), "a/b"); err == nil {
		t.Error("a channel with a bad name was created")
	}
}
