package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings.example/admin"
	"tidings.example/command"
)

func lockAdminTests[Tx any]() []testCase[Tx] {
	return []testCase[Tx]{
		{name: "locks are listed", run: testLockList[Tx]},
		{name: "a broken lock is free", run: testLockBreak[Tx]},
		{name: "what waits for a broken lock is found", run: testLockBroken[Tx]},
		{name: "what cannot be broken", run: testLockBreakRefused[Tx]},
	}
}

func (e *env[Tx]) wantLocks(name string, f admin.LockFilter, want ...string) []admin.Lock {
	e.Helper()
	all, err := e.db.Operator.ListLocks(e.ctx, f)
	e.ok(err)
	names := []string{}
	for _, l := range all {
		names = append(names, l.Participant+"/"+l.Target)
	}
	if !slices.Equal(names, want) {
		e.Errorf("%s: %q, want %q", name, names, want)
	}
	return all
}

func (e *env[Tx]) wantBroken(participant string, limit int, want ...string) {
	e.Helper()
	targets, err := e.db.Commands.Broken(e.ctx, participant, limit)
	e.ok(err)
	var names []string
	for _, t := range targets {
		names = append(names, t.Name)
		if t.Participant != participant {
			e.Errorf("target: %+v", t)
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, want) {
		e.Errorf("broken: %q, want %q", names, want)
	}
}

func testLockList[Tx any](e *env[Tx]) {
	e.wantLocks("of none", admin.LockFilter{})
	now := time.Now()
	put := func(participant, target string, owner command.Saga, age time.Duration, waiting int) {
		t := command.Target{Participant: participant, Name: target}
		e.lock(t, owner, now.Add(-age))
		for i := range waiting {
			e.setAside(t, complete(fmt.Sprint(i)), now)
		}
	}
	put("kitchen", "b", one, time.Hour, 0)
	put("kitchen", "a", two, 3*time.Hour, 2)
	put("courier", "a", one, 2*time.Hour, 1)
	put("courier", "c", command.Saga{Type: "other", ID: "1"}, time.Minute, 0)
	all := e.wantLocks("everything", admin.LockFilter{}, "kitchen/a", "courier/a", "kitchen/b", "courier/c")
	if l := all[0]; l.SagaType != two.Type || l.SagaID != two.ID || l.Waiting != 2 || (now.Sub(l.Since)-3*time.Hour).Abs() > time.Millisecond {
		e.Errorf("lock: %+v", l)
	}
	if all[1].Waiting != 1 || all[2].Waiting != 0 {
		e.Errorf("waiting: %+v", all)
	}
	e.wantLocks("limit", admin.LockFilter{Limit: 2}, "kitchen/a", "courier/a")
	e.wantLocks("participant", admin.LockFilter{Participant: "kitchen"}, "kitchen/a", "kitchen/b")
	e.wantLocks("target", admin.LockFilter{Target: "a"}, "kitchen/a", "courier/a")
	e.wantLocks("saga type", admin.LockFilter{SagaType: "create-order"}, "kitchen/a", "courier/a", "kitchen/b")
	e.wantLocks("saga", admin.LockFilter{SagaType: "create-order", SagaID: "1"}, "courier/a", "kitchen/b")
	e.wantLocks("age", admin.LockFilter{Older: 90 * time.Minute}, "kitchen/a", "courier/a")
	e.wantLocks("none", admin.LockFilter{Target: "A"})
}

func testLockBreak[Tx any](e *env[Tx]) {
	e.lock(ticket, one, at(1))
	e.ok(e.db.Operator.BreakLock(e.ctx, "kitchen", ticket.Name, because("its saga is gone")))
	e.audited("its saga is gone", one.Type, `"`+one.ID+`"`)
	rows, err := e.db.Audit(e.ctx)
	e.ok(err)
	if len(rows) != 1 || rows[0].Action != "break lock" || !strings.Contains(rows[0].Target, ticket.Name) || !strings.Contains(rows[0].Target, "kitchen") {
		e.Errorf("audit: %+v", rows)
	}
	e.wantLocks("after breaking", admin.LockFilter{})
	if e.unlock(ticket, one) {
		e.Error("the old owner unlocks it")
	}
	if l := e.lock(ticket, command.Saga{}, at(2)); l != (command.Lock{}) {
		e.Errorf("lock: %+v", l)
	}
	e.wantBroken("kitchen", 10)
	if l := e.lock(ticket, two, at(3)); l.Owner != two || !l.Since.Equal(at(3)) {
		e.Errorf("lock: %+v", l)
	}
}

func testLockBroken[Tx any](e *env[Tx]) {
	for _, name := range []string{"a", "b", "c", "d"} {
		target := command.Target{Participant: "kitchen", Name: name}
		e.lock(target, one, at(1))
		if name != "d" {
			e.setAside(target, complete("1"), at(2))
			e.setAside(target, complete("2"), at(3))
		}
	}
	e.wantBroken("kitchen", 10)
	for _, name := range []string{"a", "b", "d"} {
		e.ok(e.db.Operator.BreakLock(e.ctx, "kitchen", name, because("x")))
	}
	e.wantBroken("kitchen", 10, "a", "b")
	e.wantBroken("courier", 10)
	if some, err := e.db.Commands.Broken(e.ctx, "kitchen", 1); err != nil || len(some) != 1 {
		e.Errorf("one: %+v, %v", some, err)
	}
	// The first of those that wait locks a again; of b, none does.
	a, b := command.Target{Participant: "kitchen", Name: "a"}, command.Target{Participant: "kitchen", Name: "b"}
	e.commandTx(func(ctx context.Context, tx Tx) error {
		l, err := e.db.Commands.Lock(ctx, tx, a, two, at(5))
		if err != nil || l.Owner != two {
			return fmt.Errorf("lock: %+v, %w", l, err)
		}
		first, err := e.db.Commands.FirstAside(ctx, tx, a)
		if err != nil || first == nil || first.Message.ID != "1" {
			return fmt.Errorf("first: %+v, %w", first, err)
		}
		return e.db.Commands.RemoveAside(ctx, tx, first.ID)
	})
	e.wantBroken("kitchen", 10, "b")
	for range 2 {
		e.lock(b, command.Saga{}, at(6))
		e.firstAside(b, true)
	}
	e.wantBroken("kitchen", 10)
	// Broken once more, a has the one that is left.
	e.ok(e.db.Operator.BreakLock(e.ctx, "kitchen", "a", because("x")))
	e.wantBroken("kitchen", 10, "a")
	e.lock(b, one, at(7))
	e.wantLocks("in the end", admin.LockFilter{}, "kitchen/c", "kitchen/b")
	// A command may stay behind when its target is unlocked.
	if !e.unlock(command.Target{Participant: "kitchen", Name: "c"}, one) {
		e.Error("not unlocked")
	}
	e.wantBroken("kitchen", 10, "a", "c")
}

func testLockBreakRefused[Tx any](e *env[Tx]) {
	e.lock(ticket, one, at(1))
	for name, err := range map[string]error{
		"another target":      e.db.Operator.BreakLock(e.ctx, "kitchen", "Ticket/9", because("x")),
		"another participant": e.db.Operator.BreakLock(e.ctx, "courier", ticket.Name, because("x")),
	} {
		if !errors.Is(err, admin.ErrNotFound) {
			e.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []admin.Action{{Actor: "ada"}, {Reason: "x"}} {
		if err := e.db.Operator.BreakLock(e.ctx, "kitchen", ticket.Name, bad); err == nil {
			e.Errorf("taken by %+v", bad)
		}
	}
	if rows, err := e.db.Audit(e.ctx); err != nil || len(rows) != 0 {
		e.Errorf("audit: %+v, %v", rows, err)
	}
	e.wantLocks("after that", admin.LockFilter{}, "kitchen/Ticket/99")
	e.ok(e.db.Operator.BreakLock(e.ctx, "kitchen", ticket.Name, because("x")))
	if err := e.db.Operator.BreakLock(e.ctx, "kitchen", ticket.Name, because("x")); !errors.Is(err, admin.ErrNotFound) {
		e.Errorf("broken again: %v", err)
	}
}
