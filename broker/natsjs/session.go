package natsjs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tidings.example/broker"
)

const (
	// beatTime is the pause between two beats, after each of which changed
	// positions are stored.
	beatTime = 700 * time.Millisecond
	// fenceTime is after which time without a beat that was stored a member
	// stops delivering, since others will soon take it for dead: they have
	// seen missedLimit beats of their own by then, the first of which may
	// have come right after its last one.
	fenceTime = 2 * time.Second
	// leaveTime bounds how long a subscription that stops tries to store its
	// positions while the server does not answer.
	leaveTime = 5 * time.Second
)

// A session is one running call of Subscribe: a member of a subscriber. One
// goroutine, in run, makes all decisions; others deliver, read the buckets, and
// tell it what they see.
type session struct {
	broker      *Broker
	subscriber  string
	name        string
	incarnation string
	channels    []*channel
	deliver     func(ctx context.Context, d broker.Delivery)
	inFlight    chan struct{}

	bucket jetstream.KeyValue // of the members
	leases *leases
	roster *roster

	// beatRevision is the revision of this member's own entry; 0 at first.
	beatRevision uint64
	leaving      bool

	workers map[place]*worker
	running sync.WaitGroup
	// round is the context of all workers; it ends when no beat was stored
	// for too long, and a new one begins with the next beat.
	round    context.Context
	endRound context.CancelFunc
	fence    *time.Timer

	// aside is the context of what runs beside the loop, until its end.
	aside   context.Context
	members chan memberEvent
	taken   chan leaseEvent
	ended   chan *worker
}

// errNameTaken ends a session whose member name is used by a younger one.
var errNameTaken = errors.New("another process runs under the same member name: give each its own Config.Member")

// run keeps the subscription going until ctx is done and everything is stored.
func (se *session) run(ctx context.Context) (err error) {
	if ctx.Err() != nil {
		return nil
	}
	aside, stopAside := context.WithCancel(context.WithoutCancel(ctx))
	se.aside = aside
	watching := make(chan error, 1)
	se.running.Go(func() { watching <- se.watch(aside) })
	se.newRound(ctx)
	defer func() {
		se.fence.Stop()
		se.endRound()
		stopAside()
		se.running.Wait()
	}()
	beat := time.NewTimer(0)
	defer beat.Stop()
	done := ctx.Done()
	var deadline time.Time
	for {
		look := false
		select {
		case <-done:
			done = nil
			se.leaving = true
			deadline = time.Now().Add(leaveTime)
			beat.Reset(0)
		case <-beat.C:
			if err := se.beat(ctx); err != nil {
				return err
			}
			se.savePositions(ctx)
			beat.Reset(beatTime)
			look = true
		case e := <-se.members:
			if e.gone {
				se.roster.gone(e.name)
				look = true
			} else {
				look = se.roster.beat(e.name, e.entry)
			}
		case e := <-se.taken:
			look = se.noteLease(e)
		case w := <-se.ended:
			w.ended = true
			if w.err != nil {
				return w.err
			}
			look = true
		case err := <-watching:
			return fmt.Errorf("watch members: %w", err)
		}
		if look || se.leaving {
			if err := se.settle(ctx); err != nil {
				return err
			}
		}
		if se.leaving && (len(se.workers) == 0 || se.idle() && time.Now().After(deadline)) {
			se.leave(ctx)
			return nil
		}
	}
}

// newRound lets workers start again.
func (se *session) newRound(ctx context.Context) {
	se.round, se.endRound = context.WithCancel(ctx)
	se.fence = time.AfterFunc(fenceTime, se.endRound)
}

// idle reports whether all workers have ended.
func (se *session) idle() bool {
	for _, w := range se.workers {
		if !w.ended {
			return false
		}
	}
	return true
}

// beat renews this member's entry. Failing to is no error, except when it
// makes no sense to go on.
func (se *session) beat(ctx context.Context) error {
	b := se.broker
	if b.conn.IsClosed() {
		return ErrClosed
	}
	if b.conn.Status() != nats.CONNECTED {
		return nil
	}
	start := time.Now()
	err := se.storeBeat(ctx)
	switch {
	case errors.Is(err, errNameTaken):
		return fmt.Errorf("member %q: %w", se.name, err)
	case err != nil:
		b.log.Warn("NATS member could not renew its entry", "subscriber", se.subscriber, "error", err)
		return nil
	}
	if se.round.Err() != nil && ctx.Err() == nil {
		se.newRound(ctx)
	}
	se.fence.Reset(fenceTime - time.Since(start))
	return nil
}

func (se *session) storeBeat(ctx context.Context) error {
	e := memberEntry{Incarnation: se.incarnation, Leaving: se.leaving}
	for _, c := range se.channels {
		e.Channels = append(e.Channels, c.name)
	}
	value, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode entry: %w", err)
	}
	ctx, cancel := se.broker.connected.operation(ctx)
	defer cancel()
	key := se.broker.names.memberKey(se.subscriber, se.name)
	if se.beatRevision > 0 {
		revision, err := se.bucket.Update(ctx, key, value, se.beatRevision)
		if err = storeError(err); !errors.Is(err, errStale) {
			if err == nil {
				se.beatRevision = revision
			}
			return err
		}
		// The entry expired while the server was away, or is of a change of
		// ours whose answer was lost, or a younger process has taken the name.
		entry, err := se.bucket.Get(ctx, key)
		if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
			return fmt.Errorf("read entry: %w", err)
		}
		var found memberEntry
		if err == nil && json.Unmarshal(entry.Value(), &found) == nil && found.Incarnation != se.incarnation {
			return errNameTaken
		}
	}
	revision, err := se.bucket.Put(ctx, key, value)
	if err != nil {
		return storeError(err)
	}
	se.beatRevision = revision
	return nil
}

// leave removes this member's entry, so that the others need not wait.
func (se *session) leave(ctx context.Context) {
	for _, w := range se.workers {
		se.broker.log.Warn("NATS position could not be stored at the end: messages will be delivered again",
			"subscriber", se.subscriber, "channel", w.at.channel, "partition", w.at.partition)
	}
	if se.beatRevision == 0 || se.broker.conn.Status() != nats.CONNECTED {
		return
	}
	ctx, cancel := se.broker.connected.operation(ctx)
	defer cancel()
	key := se.broker.names.memberKey(se.subscriber, se.name)
	if err := se.bucket.Delete(ctx, key, jetstream.LastRevision(se.beatRevision)); err != nil {
		se.broker.log.Warn("NATS member could not remove its entry", "subscriber", se.subscriber, "error", err)
	}
}
