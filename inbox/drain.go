package inbox

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Bounds of the work on parked messages.
const (
	lookInterval = time.Second // between looks for keys to retry
	keysPerLook  = 100
	perKey       = 100 // messages of one key before the next key's turn
	heldInterval = 10 * time.Second
	pruneEvery   = time.Hour
	pruneChunk   = 1000
)

// drain works off the parked messages of keys whose retry was asked for.
func (r *run[Tx]) drain(ctx context.Context) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		keys, err := r.cfg.Store.Requests(ctx, r.cfg.Subscriber, keysPerLook)
		if err != nil && ctx.Err() == nil {
			r.cfg.Logger.Warn("looking for parked messages to retry failed", "subscriber", r.cfg.Subscriber, "error", err)
		}
		more := false
		for _, key := range keys {
			more = r.drainKey(ctx, key) || more
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-r.look:
		}
	}
}

// drainKey handles parked messages of one key in their order. It reports
// whether there are more to handle now.
func (r *run[Tx]) drainKey(ctx context.Context, key HeldKey) (more bool) {
	for range perKey {
		if ctx.Err() != nil {
			return false
		}
		p, took, f := r.retryFirst(key)
		switch {
		case f == nil && p == nil:
			return false
		case f == nil:
			d := Done{Subscriber: r.cfg.Subscriber, Source: p.Message.Source, Channel: p.Message.Channel, Type: p.Message.Type,
				Outcome: Retried, Attempts: p.Attempts + 1, Duration: took, Batch: 1, Age: r.cfg.Now().Sub(p.Message.Time)}
			r.status.done(d)
			r.cfg.Observer.Done(d)
		default:
			if !r.retryFailed(key, p, f) {
				return false
			}
		}
	}
	return true
}

// retryFirst handles the first parked message of a key; it returns nil where
// the key is not held any more.
func (r *run[Tx]) retryFirst(key HeldKey) (p *Parked, took time.Duration, _ *failure) {
	ctx, cancel := context.WithTimeout(r.ctx, r.cfg.HandlerTimeout)
	defer cancel()
	began := r.cfg.Now()
	var f failure
	f.err = r.inTx(ctx, func(ctx context.Context, tx Tx) (err error) {
		if p, err = r.cfg.Store.First(ctx, tx, r.cfg.Subscriber, key); err != nil || p == nil {
			return err
		}
		if err := check(&p.Message); err != nil {
			f.called = true
			return Permanent(err)
		}
		f.called = true
		if err := r.call(ctx, tx, &p.Message, true); err != nil {
			f.item = &item{m: &p.Message}
			return err
		}
		return r.cfg.Store.Remove(ctx, tx, r.cfg.Subscriber, p.ID)
	})
	if f.err == nil {
		return p, r.cfg.Now().Sub(began), nil
	}
	f.timedOut = errors.Is(ctx.Err(), context.DeadlineExceeded)
	return p, 0, &f
}

// retryFailed records a failed retry, unless the failure is not the message's
// fault: then the request stays and is tried again at the next look. It reports
// whether the message was given up, so that the next of its key can follow.
func (r *run[Tx]) retryFailed(key HeldKey, p *Parked, f *failure) (more bool) {
	if r.ctx.Err() != nil {
		return false
	}
	if p == nil {
		r.cfg.Logger.Warn("reading a parked message failed", "subscriber", r.cfg.Subscriber, "channel", key.Channel, "key", key.Key, "error", f.err)
		return false
	}
	it := &item{m: &p.Message, attempts: p.Attempts}
	if r.count(it, f) {
		return false
	}
	givenUp, err := r.recordRetry(key, p.ID, it.attempts, f, f.item != nil && r.cfg.GiveUp != nil)
	if err != nil && !r.transient(err) {
		givenUp, err = r.recordRetry(key, p.ID, it.attempts, f, false)
	}
	switch {
	case err != nil:
		r.log(slog.LevelWarn, "recording a failed retry failed", &p.Message, "error", err)
	case givenUp:
		it.park = reason("", f.err)
		r.finish(it, result{outcome: GivenUp}, 0, 1)
		return true
	}
	return false
}

// recordRetry records a failed retry of a parked message, after asking whether
// it can be given up.
func (r *run[Tx]) recordRetry(key HeldKey, id int64, attempts int, f *failure, ask bool) (givenUp bool, err error) {
	ctx, cancel := context.WithTimeout(r.ctx, r.cfg.HandlerTimeout)
	defer cancel()
	err = r.inTx(ctx, func(ctx context.Context, tx Tx) error {
		p, err := r.cfg.Store.First(ctx, tx, r.cfg.Subscriber, key)
		if err != nil || p == nil || p.ID != id {
			return err // somebody else was faster
		}
		if ask {
			if givenUp, err = r.giveUp(ctx, tx, &p.Message, f.err); err != nil {
				return err
			}
		}
		if givenUp {
			return r.cfg.Store.Remove(ctx, tx, r.cfg.Subscriber, p.ID)
		}
		p.Attempts, p.Reason = attempts, reason("", f.err)
		return r.cfg.Store.Fail(ctx, tx, r.cfg.Subscriber, p)
	})
	return givenUp && err == nil, err
}

// prune forgets old ids of messages without a lane.
func (r *run[Tx]) prune(ctx context.Context) {
	every(ctx, pruneEvery, func() {
		for ctx.Err() == nil {
			n, err := r.cfg.Store.Forget(ctx, r.cfg.Subscriber, r.cfg.IDRetention, pruneChunk)
			if err != nil && ctx.Err() == nil {
				r.cfg.Logger.Warn("forgetting old message ids failed", "subscriber", r.cfg.Subscriber, "error", err)
			}
			if err != nil || n < pruneChunk {
				return
			}
		}
	})
}

// watch counts held keys now and then, where the store can.
func (r *run[Tx]) watch(ctx context.Context) {
	counter, ok := r.cfg.Store.(HeldCounter)
	if !ok {
		return
	}
	every(ctx, heldInterval, func() {
		keys, oldest, err := counter.CountHeld(ctx, r.cfg.Subscriber)
		if err == nil {
			r.status.update(func(s *Stats) { s.HeldKeys, s.HeldFor = keys, oldest })
		}
	})
}

// every calls f now and then after each interval until ctx is done.
func every(ctx context.Context, interval time.Duration, f func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		f()
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}
