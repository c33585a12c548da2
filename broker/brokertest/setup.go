package brokertest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/broker"
)

// patience bounds every wait for something that must happen.
const patience = time.Minute

// channels makes n channels with fresh names that hold a '.', a '-' and a '_'.
func channels(t *testing.T, b Broker, n int) []string {
	t.Helper()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("brokertest.%s-c_%d", tidings.NewID(), i)
	}
	if p, ok := b.(broker.Provisioner); ok {
		if err := p.EnsureChannels(testContext(t), names...); err != nil {
			t.Fatalf("ensure channels: %v", err)
		}
	}
	return names
}

func channel(t *testing.T, b Broker) string { return channels(t, b, 1)[0] }

func subscriberName() string { return "brokertest." + tidings.NewID() }

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(cancel)
	return ctx
}

// message makes the nth message of a key. key may be empty.
func message(channel, key string, n int) *tidings.Message {
	return &tidings.Message{
		ID:          tidings.NewID(),
		Source:      "brokertest",
		Channel:     channel,
		Key:         key,
		Type:        "brokertest.Counted",
		Time:        time.Now().UTC().Truncate(time.Microsecond),
		ContentType: "text/plain",
		Payload:     []byte(strconv.Itoa(n)),
	}
}

// sequence makes n messages, spread over keys in turn; the number in the
// payload counts within the key, from 0.
func sequence(channel string, n int, keys ...string) []*tidings.Message {
	ms := make([]*tidings.Message, n)
	for i := range ms {
		ms[i] = message(channel, keys[i%len(keys)], i/len(keys))
	}
	return ms
}

func keyNames(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = "key-" + strconv.Itoa(i)
	}
	return keys
}

// publish publishes and waits until every message is acknowledged.
func publish(t *testing.T, b Broker, ms ...*tidings.Message) {
	t.Helper()
	for i, err := range tryPublish(testContext(t), t, b, ms) {
		if err != nil {
			t.Fatalf("publish message %d of %d: %v", i, len(ms), err)
		}
	}
}

// tryPublish publishes and returns what done was called with, once it was
// called for every message.
func tryPublish(ctx context.Context, t *testing.T, b Broker, ms []*tidings.Message) []error {
	t.Helper()
	errs := make([]error, len(ms))
	var all sync.WaitGroup
	all.Add(len(ms))
	b.Publish(ctx, ms, func(i int, err error) {
		errs[i] = err
		all.Done()
	})
	finished := make(chan struct{})
	go func() { all.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-time.After(3 * patience):
		t.Fatalf("done was not called for all of %d messages", len(ms))
	}
	return errs
}

// A subscription is one running call of Subscribe.
type subscription struct {
	*recorder
	cancel  context.CancelFunc
	stopped chan struct{}
	err     error
}

// subscribe starts a member of a subscriber. handle is called for every
// delivery, after it was recorded; nil acknowledges.
func subscribe(t *testing.T, b Broker, s broker.Subscription, handle func(ctx context.Context, d broker.Delivery)) *subscription {
	t.Helper()
	return subscribeInto(t, b, s, newRecorder(), handle)
}

func subscribeInto(t *testing.T, b Broker, s broker.Subscription, into *recorder, handle func(ctx context.Context, d broker.Delivery)) *subscription {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	sub := &subscription{recorder: into, cancel: cancel, stopped: make(chan struct{})}
	go func() {
		defer close(sub.stopped)
		sub.err = b.Subscribe(ctx, s, func(ctx context.Context, d broker.Delivery) {
			sub.add(d)
			if handle == nil {
				d.Ack()
				return
			}
			handle(ctx, d)
		})
	}()
	t.Cleanup(func() { sub.stop(t) })
	return sub
}

// stop ends the subscription, which must return nil. It may be called twice.
func (s *subscription) stop(t *testing.T) {
	t.Helper()
	s.cancel()
	select {
	case <-s.stopped:
		if s.err != nil {
			t.Errorf("Subscribe returned %v, want nil", s.err)
		}
	case <-time.After(patience):
		t.Error("Subscribe did not return after its context was done")
	}
}
