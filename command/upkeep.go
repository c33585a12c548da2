package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"tidings.example"
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
	// tries are those at targets whose first command has failed.
	tries map[Target]*try
}

// A try is how it went with the first command that waits for a target.
type try struct {
	id       int64
	failures int // in a row
	faults   int // of these, the command's own
	next     time.Time
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
		first, more, err := u.handleFirst(ctx, target)
		if err != nil && ctx.Err() == nil {
			more = u.failed(ctx, target, first, err)
		}
		if err == nil {
			delete(u.tries, target)
		}
		if !more {
			return did
		}
		did = true
	}
	return did
}

// handleFirst handles the first command that waits for a target. first is that, nil if none does.
func (u *Upkeep[Tx]) handleFirst(ctx context.Context, target Target) (first *Aside, more bool, err error) {
	err = u.inTx(ctx, func(ctx context.Context, tx Tx) (err error) {
		if first, err = u.free(ctx, tx, target); err != nil || first == nil {
			return err
		}
		more, err = u.r.workOff(ctx, tx, target)
		return err
	})
	return first, more && err == nil, err
}

// free locks a target's row and returns what waits first; nil if nothing does, or a saga has the lock.
func (u *Upkeep[Tx]) free(ctx context.Context, tx Tx, target Target) (*Aside, error) {
	l, err := u.r.store.Lock(ctx, tx, target, Saga{}, u.r.cfg.now())
	if err != nil || l.Owner != (Saga{}) {
		return nil, err
	}
	return u.r.store.FirstAside(ctx, tx, target)
}

// inTx runs fn in a transaction; a panic becomes an error.
func (u *Upkeep[Tx]) inTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, u.r.cfg.timeout)
	defer cancel()
	return u.r.store.InTx(ctx, func(ctx context.Context, tx Tx) (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("handler panicked: %v", v)
				u.r.cfg.logger.Error("handler panicked", "receiver", u.r.name, "error", err, "stack", string(debug.Stack()))
			}
		}()
		return fn(ctx, tx)
	})
}

// failed decides what to do about the first command that waits for a target: try it
// again later, or reject it. It reports whether the next one may follow.
func (u *Upkeep[Tx]) failed(ctx context.Context, target Target, first *Aside, failure error) (more bool) {
	t := u.tries[target]
	if t == nil || first != nil && t.id != first.ID {
		t = &try{}
		u.tries[target] = t
	}
	t.failures++
	transient := first == nil || inbox.IsTransient(failure) || !inbox.IsPermanent(failure) && u.r.store.Transient(failure)
	if first != nil {
		t.id = first.ID
		if !transient {
			t.faults++
		}
	}
	if t.failures&(t.failures-1) == 0 {
		u.r.cfg.logger.Warn("command that waited failed", "receiver", u.r.name, "participant", target.Participant, "target", target.Name,
			"error", failure, "failures", t.failures, "transient", transient)
	}
	if !transient && (inbox.IsPermanent(failure) || t.faults >= u.r.cfg.attempts) && u.reject(ctx, target, first, failure) {
		delete(u.tries, target)
		return true
	}
	t.next = u.r.cfg.now().Add(min(100*time.Millisecond<<min(t.failures, 20), maxPause))
	return false
}

// reject answers a command that waits for a target and cannot be handled. It
// reports whether that was done; what nobody waits for goes on being tried.
func (u *Upkeep[Tx]) reject(ctx context.Context, target Target, aside *Aside, failure error) (done bool) {
	err := u.inTx(ctx, func(ctx context.Context, tx Tx) error {
		first, err := u.free(ctx, tx, target)
		if err != nil || first == nil || first.ID != aside.ID {
			return err // somebody else was faster
		}
		done, err = u.r.GiveUp(tidings.WithCause(ctx, &first.Message), tx, &first.Message, failure)
		if err != nil || !done {
			return err
		}
		return u.r.store.RemoveAside(ctx, tx, first.ID)
	})
	if err != nil {
		u.r.cfg.logger.Warn("rejecting a command that waited failed", "receiver", u.r.name, "participant", target.Participant,
			"target", target.Name, "error", err)
		return false
	}
	if done {
		u.r.log(slog.LevelError, "command that waited is rejected", &aside.Message, "error", failure)
	}
	return done
}
