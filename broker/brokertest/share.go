package brokertest

import (
	"context"
	"strconv"
	"sync"
	"testing"

	"tidings.example"
	"tidings.example/broker"
)

// membersShare starts two members of one subscriber. While they join, and
// after one has left, nothing is lost and order per key holds; once they have
// joined, both get messages, and each message one of them.
func membersShare(t *testing.T, b Broker) {
	ch := channel(t, b)
	s := broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}
	keys := keyNames(64)
	// Both write into one record, so that order can be checked across them.
	all := newRecorder()
	var mu sync.Mutex
	by := map[string]int{}
	member := func(which int) *subscription {
		return subscribeInto(t, b, s, newRecorder(), func(_ context.Context, d broker.Delivery) {
			mu.Lock()
			by[d.Message.ID] |= which
			mu.Unlock()
			all.add(d) // only now: whoever waits for it asks who handled it
			d.Ack()
		})
	}
	handledBy := func(ms []*tidings.Message) (one, two, both int) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range ms {
			switch by[m.ID] {
			case 1:
				one++
			case 2:
				two++
			case 3:
				both++
			}
		}
		return one, two, both
	}
	numbers := 0
	round := func() []*tidings.Message {
		ms := make([]*tidings.Message, 0, 2*len(keys))
		for range 2 {
			for _, key := range keys {
				ms = append(ms, message(ch, key, numbers))
			}
			numbers++
		}
		publish(t, b, ms...)
		all.waitAll(t, ms)
		return ms
	}
	// shared says that a round was shared cleanly. Right after a member has
	// joined, a partition may still be on its way from one to the other, so
	// another round is given the chance.
	shared := func() bool {
		for range 200 {
			ms := round()
			if one, two, both := handledBy(ms); one > 0 && two > 0 && both == 0 {
				return true
			}
		}
		return false
	}
	first := member(1)
	round()
	second := member(2)
	if !shared() {
		t.Error("two members do not share the messages")
	}
	first.stop(t)
	ms := round()
	if _, two, _ := handledBy(ms); two != len(ms) {
		t.Errorf("after one member left, the other handled %d of %d", two, len(ms))
	}
	third := member(1)
	if !shared() {
		t.Error("a member that came later gets no messages")
	}
	second.stop(t)
	third.stop(t)
	checkOrder(t, all.deliveries())
}

// takenAway blocks every delivery of one member until a partition is taken
// away from it: the delivery's context ends, and the new holder gets what was
// not acknowledged, from the first one and in order.
func takenAway(t *testing.T, b Broker) {
	ch := channel(t, b)
	s := broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}
	var keys []string
	for i := range 32 {
		keys = append(keys, "key-"+strconv.Itoa(i))
	}
	ms := sequence(ch, 5*len(keys), keys...)
	publish(t, b, ms...)
	lost := make(chan struct{}, len(ms))
	first := subscribe(t, b, s, func(ctx context.Context, d broker.Delivery) {
		<-ctx.Done()
		lost <- struct{}{}
	})
	first.waitCount(t, 1)
	second := subscribe(t, b, s, nil)
	second.waitCount(t, 1)
	// The second member has got something, so the first one lost it; that it
	// was waiting in deliver shows only if it held that partition at all.
	first.stop(t)
	got := second.waitAll(t, ms)
	checkOrder(t, got)
	if len(lost) == 0 {
		t.Error("no delivery's context ended")
	}
}
