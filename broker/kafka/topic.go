package kafka

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A topic is what publishing knows of one channel: how large its records may
// be, and whether records may be handed over now.
//
// The client library fails all records of a partition together, which keeps
// their order. But it reports the failures one by one, later, and would take
// and store the next record of the partition in between. So after a failure
// nothing is handed over for the topic until every record that was on its way
// is reported; and a call of Publish that began before the failure hands over
// nothing more for the topic at all, since its caller has not heard of it.
type topic struct {
	name   string
	limits limits

	// mu is held while a record is handed over, so that a failure is either
	// seen before or comes after. It must not be held where the client library
	// calls back for the size of batches.
	mu sync.Mutex
	// outstanding are the records handed over and not yet reported.
	outstanding int
	// failed is the first failure of those outstanding; drained is closed when
	// all are reported, and failed is forgotten.
	failed  error
	drained chan struct{}
	// failedAt is when the last failure was, on the clock Broker.failures.
	failedAt uint64
	// stale says that what the client library knows of the topic is wrong: it
	// was removed, or its limit has changed.
	stale bool
	// ctx is what the outstanding records were handed over with; the end of
	// any publisher's context cancels it for all of them.
	ctx    context.Context
	cancel context.CancelFunc
}

func newTopic(name string) *topic {
	t := &topic{name: name}
	t.renew()
	return t
}

func (t *topic) renew() { t.ctx, t.cancel = context.WithCancel(context.Background()) }

// topic returns the one of this name.
func (b *Broker) topic(name string) *topic {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[name]
	if t == nil {
		t = newTopic(name)
		b.topics[name] = t
	}
	return t
}

// fail notes that a record failed, before its publisher hears of it.
func (t *topic) fail(err error, clock *atomic.Uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lockedFail(err, clock)
	if errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID) {
		t.stale = true
		t.limits.forget()
	}
}

func (t *topic) lockedFail(err error, clock *atomic.Uint64) {
	if t.failed == nil {
		t.failed = err
		t.drained = make(chan struct{})
	}
	t.failedAt = clock.Add(1)
}

// drain has the topic refreshed once nothing is outstanding.
func (t *topic) drain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stale = true
	if t.outstanding > 0 && t.failed == nil {
		t.failed = errInterrupted // waited for, and seen by nobody: nothing failed
		t.drained = make(chan struct{})
	}
}

// refresh makes the client library learn a stale topic anew. It is called with
// nothing outstanding, and with the lock held.
func (t *topic) refresh(client *kgo.Client) {
	client.PurgeTopicsFromProducing(t.name)
	t.stale = false
}

// A touch is what one call of Publish has on its way in one topic.
type touch struct {
	*topic
	// mine is guarded by the topic's mu.
	mine int
}

// abort makes the client library give up what is outstanding, if some of it is
// the call's.
func (t *touch) abort(clock *atomic.Uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mine > 0 {
		t.lockedFail(errInterrupted, clock)
		t.cancel()
	}
}

// reported notes that the publisher of an outstanding record has heard of it.
func (t *touch) reported() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mine--
	t.outstanding--
	if t.outstanding > 0 || t.failed == nil {
		return
	}
	t.failed = nil
	close(t.drained)
	if t.ctx.Err() != nil {
		t.renew()
	}
}

// limits are how large the records of a topic may be.
type limits struct {
	// bytes is max.message.bytes; 0 while it is not known. It is an atomic of
	// its own for the client library's callback.
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
