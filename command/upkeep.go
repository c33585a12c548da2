package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tidings.example/inbox"
)

// Bounds of the upkeep's work.
const (
	targetsPerLook = 100
	forgetEvery    = time.Hour
	forgetChunk    = 1000
	// soon is how soon an upkeep looks that was told of work which is about to be committed.
	soon = 5 * time.Millisecond
	// maxPause bounds the wait after a failure.
	maxPause = time.Minute
)

// An Upkeep does a receiver's work in the background, each piece in a transaction
// of its own: it handles commands that wait for a target whose lock an operator has broken, or
// which failed when their target was released, and forgets old answers. Without a running upkeep such commands wait.
// Any number may run, in any number of processes.
type Upkeep[Tx any] struct {
	r *Receiver[Tx]

	mu      sync.Mutex
	running bool
	err     error
	// tries are those at targets where a waiting command has failed.
	tries map[Target]*try
}

// A try is how it went with the commands that wait for a target.
type try struct {
	failures int // in a row
	next     time.Time
	// faults counts the failures of each command, as far as they are its own.
	faults map[int64]int
	// hopeless are the commands that have failed for good, and why.
	hopeless map[int64]error
}

// Upkeep returns the receiver's work in the background, to be run beside its inbox.
func (r *Receiver[Tx]) Upkeep() *Upkeep[Tx] { return &Upkeep[Tx]{r: r, tries: map[Target]*try{}} }

// Name is what a service calls it: "commands" and the receiver's name.
func (u *Upkeep[Tx]) Name() string { return "commands " + u.r.name }

// Ready returns nil while the upkeep works, and otherwise the reason why it does not.
func (u *Upkeep[Tx]) Ready() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case !u.running:
		return errors.New("not running")
	case u.err != nil:
		return fmt.Errorf("database fails: %w", u.err)
	}
	return nil
}

// Run works until ctx is done, and returns nil then. It returns an error at once
// where the receiver's registration is wrong.
func (u *Upkeep[Tx]) Run(ctx context.Context) error {
	if len(u.r.errs) > 0 {
		return errf("receiver %q: %w", u.r.name, u.r.Err())
	}
	if !u.begin() {
		return fmt.Errorf("%s runs already", u.Name())
	}
	defer u.end()
	var forgotten time.Time
	for wait := time.Duration(0); ; {
		if now := u.r.cfg.now(); now.Sub(forgotten) >= forgetEvery || now.Before(forgotten) {
			u.forget(ctx, now)
			forgotten = now
		}
		more := u.workOff(ctx)
		wait = u.next(wait, more)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-u.r.look:
			// What it was told of may not be committed yet.
			timer.Stop()
			wait = 0
		}
	}
}

// next returns how long to wait after a wait: after a wake or some work it is soon,
// then longer and longer.
func (u *Upkeep[Tx]) next(wait time.Duration, more bool) time.Duration {
	if wait == 0 || more {
		return min(soon, u.r.cfg.interval)
	}
	return min(2*wait, u.r.cfg.interval)
}

func (u *Upkeep[Tx]) begin() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.running {
		return false
	}
	u.running, u.err = true, nil
	return true
}

func (u *Upkeep[Tx]) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.running = false
}

func (u *Upkeep[Tx]) works(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.err = err
}

// wakeUpkeep makes the upkeep of this process look soon.
func (r *Receiver[Tx]) wakeUpkeep() {
	select {
	case r.look <- struct{}{}:
	default:
	}
}

func (r *Receiver[Tx]) participantNames() []string {
	var names []string
	for name := range r.named {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// forget forgets old answers.
func (u *Upkeep[Tx]) forget(ctx context.Context, now time.Time) {
	for _, name := range u.r.participantNames() {
		for ctx.Err() == nil {
			n, err := u.r.store.Forget(ctx, name, now.Add(-u.r.cfg.retention), forgetChunk)
			if err != nil && ctx.Err() == nil {
				u.r.cfg.logger.Warn("forgetting old answers failed", "receiver", u.r.name, "participant", name, "error", err)
			}
			if err != nil || n < forgetChunk {
				break
			}
		}
	}
}

// workOff handles what waits for targets without a lock. It reports whether it has done anything.
func (u *Upkeep[Tx]) workOff(ctx context.Context) (more bool) {
	for _, name := range u.r.participantNames() {
		targets, err := u.r.store.Broken(ctx, name, targetsPerLook)
		if ctx.Err() != nil {
			return false
		}
		u.works(err)
		if err != nil {
			u.r.cfg.logger.Warn("looking for commands that wait for no lock failed", "receiver", u.r.name, "participant", name, "error", err)
			continue
		}
		for _, target := range targets {
			if u.due(target) && u.workOffTarget(ctx, target) {
				more = true
			}
		}
	}
	return more
}

func (u *Upkeep[Tx]) due(target Target) bool {
	t := u.tries[target]
	return t == nil || !u.r.cfg.now().Before(t.next)
}

// workOffTarget handles the commands that wait for a target, until one locks it or fails.
func (u *Upkeep[Tx]) workOffTarget(ctx context.Context, target Target) (did bool) {
	for ctx.Err() == nil {
		n, err := u.handle(ctx, target)
		if err != nil {
			if !u.failed(ctx, target, err) {
				return did
			}
			continue
		}
		delete(u.tries, target)
		if n == 0 {
			return did
		}
		did = true
	}
	return did
}

// handle handles commands that wait for a target, in one transaction.
func (u *Upkeep[Tx]) handle(ctx context.Context, target Target) (n int, err error) {
	var hopeless map[int64]error
	if t := u.tries[target]; t != nil {
		hopeless = t.hopeless
	}
	err = u.inTx(ctx, func(ctx context.Context, tx Tx) (err error) {
		l, err := u.r.store.Lock(ctx, tx, target, Saga{}, u.r.cfg.now())
		if err != nil || l.Owner != (Saga{}) {
			return err
		}
		n, err = u.r.workOffSome(ctx, tx, target, maxAtOnce, hopeless)
		return err
	})
	return n, err
}

// inTx runs fn in a transaction.
func (u *Upkeep[Tx]) inTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, u.r.cfg.timeout)
	defer cancel()
	return u.r.store.InTx(ctx, fn)
}

// failed decides what to do about a failure at a target: try again later, or reject
// the command that has failed. It reports whether to go on at once.
func (u *Upkeep[Tx]) failed(ctx context.Context, target Target, failure error) (again bool) {
	if ctx.Err() != nil {
		return false
	}
	t := u.tries[target]
	if t == nil {
		t = &try{faults: map[int64]int{}, hopeless: map[int64]error{}}
		u.tries[target] = t
	}
	t.failures++
	transient := inbox.IsTransient(failure) || !inbox.IsPermanent(failure) && u.r.store.Transient(failure)
	if t.failures&(t.failures-1) == 0 {
		u.r.cfg.logger.Warn("command that waited failed", "receiver", u.r.name, "participant", target.Participant, "target", target.Name,
			"error", failure, "failures", t.failures, "transient", transient)
	}
	if w, ok := errors.AsType[*waitingError](failure); ok && !transient && t.hopeless[w.aside.ID] == nil {
		id := w.aside.ID
		if t.faults[id]++; inbox.IsPermanent(failure) || t.faults[id] >= u.r.cfg.attempts {
			t.hopeless[id] = w.err
			return true
		}
	}
	t.next = u.r.cfg.now().Add(min(100*time.Millisecond<<min(t.failures, 20), maxPause))
	return false
}
