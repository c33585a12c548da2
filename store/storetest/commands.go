package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings.example/command"
)

func commandTests[Tx any]() []testCase[Tx] {
	return []testCase[Tx]{
		{name: "a lock belongs to who took it first", run: testLockOwner[Tx]},
		{name: "looking at a lock takes none", run: testLockLook[Tx]},
		{name: "only its owner unlocks", run: testLockUnlock[Tx]},
		{name: "targets are compared byte by byte", run: testLockNames[Tx]},
		{name: "the locks of a saga are listed", run: testLocksOf[Tx]},
		{name: "a roll-back takes a lock back", run: testLockRollBack[Tx]},
		{name: "of two that want a lock one waits", run: testLockWaits[Tx], twoWriters: true},
		{name: "of two that look for a lock one waits", run: testLockAbsence[Tx], twoWriters: true},
		{name: "one of many gets the lock", run: testLockRace[Tx]},
		{name: "commands wait in order", run: testAsideOrder[Tx]},
		{name: "the commands of one saga are found among those that wait", run: testAsideOf[Tx]},
		{name: "none is overtaken or forgotten while locks come and go", run: testAsideRace[Tx]},
		{name: "an answer is remembered", run: testAnswer[Tx]},
		{name: "old answers are forgotten", run: testAnswerForget[Tx]},
	}
}

var (
	ticket = command.Target{Participant: "kitchen", Name: "Ticket/99"}
	one    = command.Saga{Type: "create-order", ID: "1"}
	two    = command.Saga{Type: "create-order", ID: "2"}
)

// commandTx runs fn in a transaction of the store, again where that may help.
func (e *env[Tx]) commandTx(fn func(ctx context.Context, tx Tx) error) {
	e.Helper()
	err := e.db.Commands.InTx(e.ctx, fn)
	for err != nil && e.db.Commands.Transient(err) && e.ctx.Err() == nil {
		err = e.db.Commands.InTx(e.ctx, fn)
	}
	if err != nil {
		e.Error(err)
	}
}

// lock asks for a lock in a transaction of its own.
func (e *env[Tx]) lock(target command.Target, owner command.Saga, since time.Time) (l command.Lock) {
	e.Helper()
	e.commandTx(func(ctx context.Context, tx Tx) (err error) {
		l, err = e.db.Commands.Lock(ctx, tx, target, owner, since)
		return err
	})
	return l
}

func (e *env[Tx]) unlock(target command.Target, owner command.Saga) (done bool) {
	e.Helper()
	e.commandTx(func(ctx context.Context, tx Tx) (err error) {
		done, err = e.db.Commands.Unlock(ctx, tx, target, owner)
		return err
	})
	return done
}

func testLockOwner[Tx any](e *env[Tx]) {
	want := command.Lock{Target: ticket, Owner: one, Since: at(1)}
	for i, l := range []command.Lock{
		e.lock(ticket, one, at(1)), e.lock(ticket, one, at(2)), e.lock(ticket, two, at(3)), e.lock(ticket, command.Saga{}, at(4)),
		e.lock(ticket, command.Saga{Type: "other", ID: "1"}, at(5)),
	} {
		if l != want {
			e.Errorf("lock %d: %+v, want %+v", i, l, want)
		}
	}
	// Who asks is named by another service.
	for i, owner := range []command.Saga{{Type: "Größe ", ID: "ä "}, {Type: strings.Repeat("t", 255), ID: strings.Repeat("i", 255)}} {
		target := command.Target{Participant: "kitchen", Name: strings.Repeat("n", 250) + fmt.Sprint(i)}
		if l := e.lock(target, owner, at(1)); l != (command.Lock{Target: target, Owner: owner, Since: at(1)}) {
			e.Errorf("lock: %+v", l)
		}
		if e.unlock(target, command.Saga{Type: strings.TrimSpace(owner.Type), ID: owner.ID + " "}) || !e.unlock(target, owner) {
			e.Errorf("%v unlocks", owner)
		}
	}
	// Twice in one transaction.
	e.commandTx(func(ctx context.Context, tx Tx) error {
		for range 2 {
			l, err := e.db.Commands.Lock(ctx, tx, command.Target{Participant: "kitchen", Name: "x"}, two, at(9))
			if err != nil || l.Owner != two {
				return fmt.Errorf("lock: %+v, %w", l, err)
			}
		}
		return nil
	})
}

func testLockLook[Tx any](e *env[Tx]) {
	for range 2 {
		if l := e.lock(ticket, command.Saga{}, at(1)); l != (command.Lock{}) {
			e.Errorf("a lock that nobody has: %+v", l)
		}
	}
	e.commandTx(func(ctx context.Context, tx Tx) error {
		for _, step := range []struct{ owner, want command.Saga }{{command.Saga{}, command.Saga{}}, {one, one}, {command.Saga{}, one}} {
			l, err := e.db.Commands.Lock(ctx, tx, ticket, step.owner, at(2))
			if err != nil || l.Owner != step.want {
				return fmt.Errorf("lock for %v: %+v, %w", step.owner, l, err)
			}
		}
		return nil
	})
}

func testLockUnlock[Tx any](e *env[Tx]) {
	if e.unlock(ticket, one) {
		e.Error("unlocked what was not locked")
	}
	e.lock(ticket, one, at(1))
	for _, who := range []command.Saga{two, {}, {Type: "other", ID: "1"}} {
		if e.unlock(ticket, who) {
			e.Errorf("unlocked by %v", who)
		}
	}
	if l := e.lock(ticket, two, at(2)); l.Owner != one {
		e.Errorf("lock: %+v", l)
	}
	if !e.unlock(ticket, one) || e.unlock(ticket, one) {
		e.Error("unlocking works once")
	}
	if l := e.lock(ticket, two, at(3)); l.Owner != two || !l.Since.Equal(at(3)) {
		e.Errorf("lock: %+v", l)
	}
	// Unlocked and locked by another in one transaction.
	e.commandTx(func(ctx context.Context, tx Tx) error {
		if done, err := e.db.Commands.Unlock(ctx, tx, ticket, two); err != nil || !done {
			return fmt.Errorf("unlock: %v, %w", done, err)
		}
		l, err := e.db.Commands.Lock(ctx, tx, ticket, one, at(4))
		if l.Owner != one {
			e.Errorf("lock: %+v", l)
		}
		return err
	})
}

func testLockNames[Tx any](e *env[Tx]) {
	for i, name := range []string{"a", "A", "a ", " a", "ä", "a\u0308", "'; --", "Ticket/%"} {
		owner := command.Saga{Type: "t", ID: fmt.Sprint(i)}
		for _, participant := range []string{"kitchen", "Kitchen"} {
			if l := e.lock(command.Target{Participant: participant, Name: name}, owner, at(i)); l.Owner != owner || l.Target.Name != name {
				e.Errorf("lock of %q: %+v", name, l)
			}
		}
	}
}

func testLocksOf[Tx any](e *env[Tx]) {
	for _, name := range []string{"b", "a", "B", "ä", "c"} {
		e.lock(command.Target{Participant: "kitchen", Name: name}, one, at(1))
	}
	e.lock(command.Target{Participant: "kitchen", Name: "d"}, two, at(1))
	e.lock(command.Target{Participant: "courier", Name: "e"}, one, at(1))
	e.unlock(command.Target{Participant: "kitchen", Name: "c"}, one)
	e.commandTx(func(ctx context.Context, tx Tx) error {
		for _, c := range []struct {
			owner command.Saga
			want  []string
		}{{one, []string{"B", "a", "b", "ä"}}, {two, []string{"d"}}, {command.Saga{Type: "other", ID: "1"}, nil}, {command.Saga{}, nil}} {
			got, err := e.db.Commands.LocksOf(ctx, tx, "kitchen", c.owner)
			if err != nil {
				return err
			}
			var names []string
			for _, t := range got {
				names = append(names, t.Name)
				if t.Participant != "kitchen" {
					e.Errorf("target: %+v", t)
				}
			}
			if !slices.Equal(names, c.want) {
				e.Errorf("locks of %v: %q, want %q", c.owner, names, c.want)
			}
		}
		return nil
	})
}

func testLockRollBack[Tx any](e *env[Tx]) {
	stop := errors.New("stop")
	err := e.db.Commands.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		_, err := e.db.Commands.Lock(ctx, tx, ticket, one, at(1))
		return errors.Join(err, stop)
	})
	if err == nil || err.Error() != "stop" {
		e.Fatal(err)
	}
	if l := e.lock(ticket, two, at(2)); l.Owner != two {
		e.Errorf("lock: %+v", l)
	}
}
