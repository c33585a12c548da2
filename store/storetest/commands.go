package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidings.example"
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

func (e *env[Tx]) answered(participant, id string) (m *tidings.Message) {
	e.Helper()
	e.commandTx(func(ctx context.Context, tx Tx) (err error) {
		m, err = e.db.Commands.Answered(ctx, tx, participant, id)
		return err
	})
	return m
}

func (e *env[Tx]) remember(participant, id string, answer tidings.Message, when time.Time) {
	e.Helper()
	e.commandTx(func(ctx context.Context, tx Tx) error {
		return e.db.Commands.Remember(ctx, tx, participant, id, &answer, when)
	})
}

func testAnswer[Tx any](e *env[Tx]) {
	if m := e.answered("kitchen", "c1"); m != nil {
		e.Errorf("an answer that was not given: %+v", m)
	}
	want := fullMessage("r1")
	e.remember("kitchen", "c1", want, at(1))
	e.remember("courier", "c1", bareMessage("r2"), at(1))
	got := e.answered("kitchen", "c1")
	if got == nil {
		e.Fatal("the answer is not there")
	}
	if diff := sameMessage(*got, want); diff != "" {
		e.Error(diff)
	}
	for _, other := range []string{"C1", "c1 ", "c2"} {
		if m := e.answered("kitchen", other); m != nil {
			e.Errorf("answer to %q: %+v", other, m)
		}
	}
	// A second answer does not take the place of the first, whether or not it is an error.
	_ = e.db.Commands.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		m := complete("r3")
		return e.db.Commands.Remember(ctx, tx, "kitchen", "c1", &m, at(2))
	})
	if got := e.answered("kitchen", "c1"); got == nil || got.ID != "r1" {
		e.Errorf("answer: %+v", got)
	}
}

func testAnswerForget[Tx any](e *env[Tx]) {
	for i := range 10 {
		e.remember("kitchen", fmt.Sprint(i), complete("r"), at(i))
	}
	e.remember("courier", "0", complete("r"), at(0))
	for i, want := range []int{4, 1, 0} {
		got, err := e.db.Commands.Forget(e.ctx, "kitchen", at(5), 4)
		if err != nil || got != want {
			e.Errorf("forget %d: %d, %v; want %d", i, got, err, want)
		}
	}
	for i := range 10 {
		if there := e.answered("kitchen", fmt.Sprint(i)) != nil; there != (i >= 5) {
			e.Errorf("answer %d: %v", i, there)
		}
	}
	if e.answered("courier", "0") == nil {
		e.Error("the other participant's answer is gone")
	}
}
