package kafka

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"tidings.example/broker"
)

// A topic is what publishing knows of one channel: how large its records may
// be, and whether records may be handed over now.
//
// After a failure everything that is queued for the topic fails too, and
// nothing new is taken until every message that was handed over is reported.
// A call of Publish that began before the failure hands over nothing more for
// the topic at all, since its caller has not heard of it.
type topic struct {
	name   string
	limits limits
	// stale says that what the client library knows of the topic is wrong: it
	// was removed, or its limit has changed.
	stale atomic.Bool
	// introduced says that the client library knows the topic's partitions. It
	// belongs to the pump.
	introduced bool

	mu sync.Mutex
	// outstanding are the messages handed over and not yet reported.
	outstanding int
	// failed is the first failure of those outstanding; drained is closed when
	// all are reported, and failed is forgotten.
	failed  error
	drained chan struct{}
	// failedAt is when the last failure was, on the clock Broker.failures.
	failedAt uint64
}

// topic returns the one of this name.
func (b *Broker) topic(name string) *topic {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[name]
	if t == nil {
		t = &topic{name: name}
		b.topics[name] = t
	}
	return t
}

// fail notes that a message failed, before its publisher hears of it. It does
// nothing where all are reported already.
func (t *topic) fail(err error, clock *atomic.Uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.outstanding == 0 {
		return
	}
	if t.failed == nil {
		t.failed = err
		t.drained = make(chan struct{})
	}
	t.failedAt = clock.Add(1)
	if errors.Is(err, broker.ErrTooLarge) || errors.Is(err, errMissing) {
		t.stale.Store(true)
		t.limits.forget() // it was another topic's, or has changed
	}
}

// failure returns why nothing that is queued may be sent, or nil.
func (t *topic) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// reported notes that the publisher of an outstanding message has heard of it.
func (t *topic) reported() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.outstanding--
	if t.outstanding == 0 && t.failed != nil {
		t.failed = nil
		close(t.drained)
	}
}

// limits are how large the records of a topic may be.
type limits struct {
	// bytes is max.message.bytes; 0 while it is not known.
	bytes atomic.Int64
	// asking is held by whoever asks the cluster.
	asking sync.Mutex
	// askAgain is when to ask again, in Unix nanoseconds.
	askAgain atomic.Int64
}

func (l *limits) forget() {
	l.bytes.Store(0)
	l.askAgain.Store(0)
}

// set takes an answer, unless it is 0, and returns the one before.
func (l *limits) set(bytes int64, askAgain time.Time) (old int64) {
	if bytes > 0 {
		old = l.bytes.Swap(bytes)
	}
	l.askAgain.Store(askAgain.UnixNano())
	return old
}

func (l *limits) fresh(now time.Time) bool { return now.UnixNano() < l.askAgain.Load() }
