package command

import (
	"context"
	"errors"
	"fmt"

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
	well := false
	defer func() {
		if !well { // an error, or a panic, that the inbox makes an error of
			r.releaseOnly.add(unlock)
		}
	}()
	left := maxAtOnce
	for _, target := range targets {
		for more := true; more; left-- {
			if left == 0 {
				well = true
				r.wakeUpkeep()
				return nil
			}
			var err error
			if more, err = r.workOff(ctx, tx, target); err != nil {
				return err
			}
		}
	}
	well = true
	return nil
}

// workOff handles the first command that waits for a target, whose row tx has
// locked. It reports whether the next one may follow.
func (r *Receiver[Tx]) workOff(ctx context.Context, tx Tx, target Target) (more bool, err error) {
	first, err := r.store.FirstAside(ctx, tx, target)
	if err != nil || first == nil {
		return false, err
	}
	waits, err := r.take(tidings.WithCause(ctx, &first.Message), tx, &first.Message, &target)
	switch {
	case err != nil:
		return false, fmt.Errorf("command %d that waits for %s of %s: %w", first.ID, target.Name, target.Participant, err)
	case waits:
		return false, nil
	}
	return true, r.store.RemoveAside(ctx, tx, first.ID)
}
