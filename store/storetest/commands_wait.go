package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tidings.example/command"
)

// waits checks that the second transaction waits for the end of the first.
func (e *env[Tx]) waits(first func(ctx context.Context, tx Tx) error, second func(ctx context.Context, tx Tx) error) {
	e.Helper()
	var done atomic.Bool
	var wait sync.WaitGroup
	e.ok(e.db.Commands.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		if err := first(ctx, tx); err != nil {
			return err
		}
		wait.Go(func() {
			e.commandTx(second)
			done.Store(true)
		})
		e.pass(150 * time.Millisecond)
		if done.Load() {
			e.Error("the second did not wait")
		}
		return nil
	}))
	wait.Wait()
}

func testLockWaits[Tx any](e *env[Tx]) {
	ask := func(owner, want command.Saga) func(ctx context.Context, tx Tx) error {
		return func(ctx context.Context, tx Tx) error {
			l, err := e.db.Commands.Lock(ctx, tx, ticket, owner, at(1))
			if err == nil && l.Owner != want {
				e.Errorf("lock for %v: %+v", owner, l)
			}
			return err
		}
	}
	e.waits(ask(one, one), ask(two, one))                       // absent, then locked
	e.waits(ask(one, one), ask(two, one))                       // there
	e.waits(ask(command.Saga{}, one), ask(command.Saga{}, one)) // looked at
	e.waits(func(ctx context.Context, tx Tx) error {            // unlocked
		done, err := e.db.Commands.Unlock(ctx, tx, ticket, one)
		if !done {
			e.Error("not unlocked")
		}
		return err
	}, ask(two, two))
}

func testLockAbsence[Tx any](e *env[Tx]) {
	ask := func(target command.Target, owner command.Saga) func(ctx context.Context, tx Tx) error {
		return func(ctx context.Context, tx Tx) error {
			l, err := e.db.Commands.Lock(ctx, tx, target, owner, at(1))
			if err == nil && l.Owner != owner {
				e.Errorf("lock for %v: %+v", owner, l)
			}
			return err
		}
	}
	e.waits(ask(ticket, command.Saga{}), ask(ticket, command.Saga{}))
	e.waits(ask(ticket, command.Saga{}), ask(ticket, one))
	// Another target is free.
	e.ok(e.db.Commands.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		if err := ask(command.Target{Participant: "kitchen", Name: "x"}, command.Saga{})(ctx, tx); err != nil {
			return err
		}
		return e.db.Commands.InTx(e.ctx, ask(command.Target{Participant: "kitchen", Name: "y"}, two))
	}))
}

func testLockRace[Tx any](e *env[Tx]) {
	const contenders, rounds = 16, 5
	var wait sync.WaitGroup
	for round := range rounds {
		target := command.Target{Participant: "kitchen", Name: fmt.Sprint(round)}
		var got atomic.Int64
		for i := range contenders {
			wait.Go(func() {
				owner := command.Saga{Type: "t", ID: fmt.Sprint(i)}
				if i%4 == 3 {
					owner = command.Saga{} // looks
				}
				var l command.Lock
				e.commandTx(func(ctx context.Context, tx Tx) (err error) {
					l, err = e.db.Commands.Lock(ctx, tx, target, owner, at(i))
					return err
				})
				if owner.ID != "" && l.Owner == owner {
					got.Add(1)
				} else if owner.ID != "" && l.Owner.ID == "" {
					e.Errorf("nobody has the lock that %v asked for", owner)
				}
			})
		}
		wait.Wait()
		if got.Load() != 1 {
			e.Errorf("%d have the lock", got.Load())
		}
	}
}
