package timer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// How long to wait, besides Poll.
const (
	// spacing is the least time between two looks that find nothing to do, however
	// often the runner is woken.
	spacing = 5 * time.Millisecond
	// firstHeld is the first wait for what another process is doing; it doubles up to Poll.
	firstHeld = 10 * time.Millisecond
	// firstFailed and maxFailed bound the waits after errors.
	firstFailed = 100 * time.Millisecond
	maxFailed   = 10 * time.Second
)

// loop looks after one source.
type loop struct {
	cfg    *Config
	source Source
	wake   chan struct{}
	held   backoff
	failed backoff
	status
}

func newLoop(cfg *Config, s Source) *loop {
	l := &loop{cfg: cfg, source: s, wake: make(chan struct{}, 1),
		held: backoff{first: firstHeld, max: max(cfg.Poll, firstHeld)}, failed: backoff{first: firstFailed, max: maxFailed}}
	l.stats.Source = s.Name()
	return l
}

// run works until ctx is done; its transactions live in work. It returns an
// error that will not pass.
func (l *loop) run(ctx, work context.Context) error {
	for ctx.Err() == nil {
		wait, err := l.turn(ctx, work)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			if l.status.passed() {
				l.cfg.Logger.Info("timers go on", "name", l.cfg.Name, "source", l.source.Name())
			}
			l.failed.reset()
			// Those who wake the runner all the time get what is due now
			// together with what is due a moment later.
			pause := min(spacing, wait)
			sleep(ctx, pause, nil)
			sleep(ctx, wait-pause, l.wake)
			continue
		}
		if !errors.Is(err, errSlow) && !l.source.Transient(err) {
			return err
		}
		wait = l.failed.next()
		l.status.failure(err)
		l.cfg.Logger.Warn("timers cannot go on, trying again", "name", l.cfg.Name, "source", l.source.Name(), "wait", wait, "error", err)
		sleep(ctx, wait, nil)
	}
	return nil
}

// turn looks once, does what is due, and returns how long there is nothing to do.
func (l *loop) turn(ctx, work context.Context) (time.Duration, error) {
	var due time.Time
	var ok bool
	err := l.call(ctx, func(ctx context.Context) (err error) {
		due, ok, err = l.source.Next(ctx)
		return err
	})
	if err != nil {
		return 0, err
	}
	now := l.cfg.Now()
	l.status.looked(now, due, ok)
	if !ok || due.After(now) {
		l.held.reset()
		if !ok {
			return l.cfg.Poll, nil
		}
		return min(due.Sub(now), l.cfg.Poll), nil
	}
	done, err := l.drain(ctx, work)
	if err != nil {
		return 0, err
	}
	if done == 0 {
		// Another process is doing it. Should that fail, it is ours.
		return l.held.next(), nil
	}
	l.held.reset()
	return 0, nil
}

// drain does what is due until less than a batch is left. One at a time is
// enough as long as batches are not full.
func (l *loop) drain(ctx, work context.Context) (int, error) {
	done, err := l.fire(work)
	if err != nil || done < l.cfg.Batch {
		return done, err
	}
	var mu sync.Mutex
	var others sync.WaitGroup
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for range l.cfg.Concurrency {
		others.Go(func() {
			for ctx.Err() == nil {
				n, e := l.fire(work)
				mu.Lock()
				done += n
				if e != nil && err == nil {
					err = e
				}
				mu.Unlock()
				if e != nil {
					stop()
				}
				if n < l.cfg.Batch {
					return
				}
			}
		})
	}
	others.Wait()
	return done, err
}

func (l *loop) fire(work context.Context) (done int, err error) {
	err = l.call(work, func(ctx context.Context) (err error) {
		done, err = l.source.Fire(ctx, l.cfg.Now(), l.cfg.Batch)
		return err
	})
	l.status.fired(done)
	return done, err
}

var errSlow = errors.New("took too long")

// call calls the source, and cuts it off after Timeout.
func (l *loop) call(ctx context.Context, do func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	err := do(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return fmt.Errorf("%w, more than %s: %w", errSlow, l.cfg.Timeout, err)
	}
	return err
}
