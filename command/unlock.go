package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"tidings.example"
	"tidings.example/inbox"
)

// maxAtOnce bounds the waiting commands that one unlock handles in its transaction.
const maxAtOnce = 100

// unlock ends the locks of a saga, and handles what waits for their targets, in
// the same transaction. Where a waiting command fails, the unlock is tried again without
// those, and the upkeep handles each in a transaction of its own.
func (r *Receiver[Tx]) unlock(ctx context.Context, tx Tx, m *tidings.Message) error {
	a, _, known := r.ask(m)
	switch {
	case !known:
		if !r.elsewhere[participantKey{m.Channel, a.Participant}] {
			r.skipped.add(Skip{Channel: m.Channel, Participant: a.Participant, Type: m.Type})
		}
		return nil
	case a.SagaType == "" || a.SagaID == "":
		return inbox.Permanent(errors.New("unlock names no saga"))
	}
	targets, err := r.store.LocksOf(ctx, tx, a.Participant, a.saga())
	if err != nil {
		return fmt.Errorf("find the locks of saga %s %s: %w", a.SagaType, a.SagaID, err)
	}
	released := targets[:0]
	for _, target := range targets {
		ok, err := r.store.Unlock(ctx, tx, target, a.saga())
		if err != nil {
			return fmt.Errorf("unlock %s of %s: %w", target.Name, target.Participant, err)
		}
		if ok {
			released = append(released, target)
		}
	}
	if r.releaseOnly.has(m.ID) {
		r.wakeUpkeep()
		return nil
	}
	return r.workOffAll(ctx, tx, m.ID, released)
}

// workOffAll handles what waits for targets that an unlock has released.
func (r *Receiver[Tx]) workOffAll(ctx context.Context, tx Tx, unlock string, targets []Target) error {
	left := maxAtOnce
	for _, target := range targets {
		if left <= 0 {
			break
		}
		n, err := r.workOffSome(ctx, tx, target, left, nil)
		if err != nil {
			// However hopeless the command is, the unlock is not: it is tried again, and
			// then releases only.
			r.releaseOnly.add(unlock)
			return inbox.Transient(err)
		}
		if left -= n; left <= 0 {
			r.wakeUpkeep() // there may be more
		}
	}
	return nil
}

// workOffSome handles what waits for a target, whose row tx has locked, until a
// command must wait on, and about limit at most. It never stops between the command
// that locks the target and others of that saga: nobody would come back for those.
// hopeless are the commands that have failed for good, and why.
func (r *Receiver[Tx]) workOffSome(ctx context.Context, tx Tx, target Target, limit int, hopeless map[int64]error) (n int, err error) {
	var last Saga
	for {
		first, err := r.next(ctx, tx, target, last)
		if err != nil || first == nil {
			return n, err
		}
		a := askOf(&first.Message)
		last = a.saga()
		on, err := r.workOff(tidings.WithCause(ctx, &first.Message), tx, first, hopeless[first.ID], n > 0)
		if err != nil {
			return n, &waitingError{aside: first, err: err}
		}
		if !on {
			return n, nil
		}
		if err := r.store.RemoveAside(ctx, tx, first.ID); err != nil {
			return n, err
		}
		if n++; n < limit {
			continue
		}
		l, err := r.store.Lock(ctx, tx, target, Saga{}, r.cfg.now())
		if err != nil || l.Owner == (Saga{}) {
			return n, err
		}
	}
}

// next returns the waiting command whose turn it is. Those of the saga whose command
// was handled last come before others: it may have the lock now, and may end only after their replies.
func (r *Receiver[Tx]) next(ctx context.Context, tx Tx, target Target, last Saga) (*Aside, error) {
	first, err := r.store.FirstAside(ctx, tx, target)
	if err != nil || first == nil || last == (Saga{}) {
		return first, err
	}
	if a := askOf(&first.Message); a.saga() == last {
		return first, nil
	}
	if own, err := r.store.FirstAsideOf(ctx, tx, target, last); err != nil || own != nil {
		return own, err
	}
	return first, nil
}

// workOff handles a waiting command, or rejects one that is hopeless. It reports
// whether that is done. One that is hopeless and that nobody waits for stays where
// it is, until it is the first to be handled in a transaction.
func (r *Receiver[Tx]) workOff(ctx context.Context, tx Tx, first *Aside, hopeless error, behind bool) (done bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("handler panicked: %v", v)
			r.log(slog.LevelError, "handler panicked", &first.Message, "error", err, "stack", string(debug.Stack()))
		}
	}()
	if hopeless != nil {
		settled, err := r.GiveUp(ctx, tx, &first.Message, hopeless)
		switch {
		case err != nil:
			return false, err
		case settled:
			r.log(slog.LevelError, "command that waited is rejected", &first.Message, "error", hopeless)
			return true, nil
		case behind:
			return false, nil
		}
	}
	waits, err := r.take(ctx, tx, &first.Message, &first.Target)
	return !waits && err == nil, err
}

// A waitingError says which of the waiting commands has failed.
type waitingError struct {
	aside *Aside
	err   error
}

func (e *waitingError) Error() string {
	return fmt.Sprintf("command that waited for %s of %s: %v", e.aside.Target.Name, e.aside.Target.Participant, e.err)
}

func (e *waitingError) Unwrap() error { return e.err }
