package storetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tidings.example"
	"tidings.example/command"
)

func (e *env[Tx]) setAside(target command.Target, m tidings.Message, since time.Time) {
	e.Helper()
	e.commandTx(func(ctx context.Context, tx Tx) error {
		if _, err := e.db.Commands.Lock(ctx, tx, target, two, since); err != nil {
			return err
		}
		return e.db.Commands.SetAside(ctx, tx, target, &m, since)
	})
}

// firstAside reads the first of a target's commands and removes it if asked to.
func (e *env[Tx]) firstAside(target command.Target, remove bool) (a *command.Aside) {
	e.Helper()
	e.commandTx(func(ctx context.Context, tx Tx) (err error) {
		if a, err = e.db.Commands.FirstAside(ctx, tx, target); err != nil || a == nil || !remove {
			return err
		}
		return e.db.Commands.RemoveAside(ctx, tx, a.ID)
	})
	return a
}

func testAsideOrder[Tx any](e *env[Tx]) {
	e.lock(ticket, one, at(1))
	other := command.Target{Participant: "kitchen", Name: "Ticket/9"}
	if a := e.firstAside(ticket, false); a != nil {
		e.Errorf("nothing waits: %+v", a)
	}
	timeless := complete("t") // of a producer that gives no time
	timeless.Time, timeless.ContentType = time.Time{}, ""
	want := []tidings.Message{fullMessage("z"), bareMessage("a"), timeless, complete("m")}
	for i, m := range want {
		e.setAside(ticket, m, at(10-i)) // in the order of storing, whatever the clock says
		e.setAside(other, complete("other"), at(0))
	}
	for i, m := range want {
		for _, remove := range []bool{false, true} {
			a := e.firstAside(ticket, remove)
			if a == nil || a.Target != ticket || !a.At.Equal(at(10-i)) || a.ID == 0 {
				e.Fatalf("aside %d: %+v", i, a)
			}
			if diff := sameMessage(a.Message, m); diff != "" {
				e.Error(diff)
			}
		}
	}
	if a := e.firstAside(ticket, true); a != nil {
		e.Errorf("one too many: %+v", a)
	}
	if a := e.firstAside(other, false); a == nil || a.Message.ID != "other" {
		e.Errorf("of the other target: %+v", a)
	}
}

// Sagas lock one target, or are set aside; whoever unlocks it works off what
// waits, until one of those locks it again. Each gets its turn once.
func testAsideRace[Tx any](e *env[Tx]) {
	const sagas = 24
	handled := map[string]int{}
	var mu sync.Mutex
	var wait sync.WaitGroup
	have := make(chan command.Saga, sagas)
	// handle is a command that locks the target for its saga.
	handle := func(ctx context.Context, tx Tx, owner command.Saga) (bool, error) {
		l, err := e.db.Commands.Lock(ctx, tx, ticket, owner, at(1))
		return l.Owner == owner, err
	}
	arrive := func(owner command.Saga) {
		var got bool
		e.commandTx(func(ctx context.Context, tx Tx) (err error) {
			if got, err = handle(ctx, tx, owner); err != nil || got {
				return err
			}
			m := complete(owner.ID)
			return e.db.Commands.SetAside(ctx, tx, ticket, &m, at(1))
		})
		if got {
			have <- owner
		}
	}
	end := func(owner command.Saga) {
		var next *command.Aside
		e.commandTx(func(ctx context.Context, tx Tx) error {
			if done, err := e.db.Commands.Unlock(ctx, tx, ticket, owner); err != nil || !done {
				return fmt.Errorf("unlock: %v, %w", done, err)
			}
			var err error
			if next, err = e.db.Commands.FirstAside(ctx, tx, ticket); err != nil || next == nil {
				return err
			}
			if got, err := handle(ctx, tx, command.Saga{Type: "t", ID: next.Message.ID}); err != nil || !got {
				return fmt.Errorf("lock for the next: %v, %w", got, err)
			}
			return e.db.Commands.RemoveAside(ctx, tx, next.ID)
		})
		if next != nil {
			have <- command.Saga{Type: "t", ID: next.Message.ID}
		}
	}
	for i := range sagas {
		wait.Go(func() { arrive(command.Saga{Type: "t", ID: fmt.Sprint(i)}) })
	}
	timeout := time.After(patience)
	for range sagas {
		select {
		case owner := <-have:
			mu.Lock()
			handled[owner.ID]++
			mu.Unlock()
			wait.Go(func() { end(owner) })
		case <-timeout:
			e.Fatalf("after %s only %v", patience, handled)
		}
	}
	wait.Wait()
	for id, n := range handled {
		if n != 1 {
			e.Errorf("saga %s had %d turns", id, n)
		}
	}
	if a := e.firstAside(ticket, false); a != nil || len(handled) != sagas {
		e.Errorf("%d had a turn, and %+v waits", len(handled), a)
	}
	if l := e.lock(ticket, command.Saga{}, at(1)); l != (command.Lock{}) {
		e.Errorf("left: %+v", l)
	}
}
