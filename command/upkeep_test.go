package command_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings.example/admin"
	"tidings.example/command"
	"tidings.example/inbox"
	"tidings.example/store/memory"
)

// bubble runs a test beside a receiver's upkeep, in a bubble where time passes by itself.
func bubble(t *testing.T, test func(w *world), options ...command.ReceiverOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, options...)
		w.background(test)
	})
}

func (w *world) background(test func(w *world)) {
	w.t.Helper()
	upkeep := w.recv.Upkeep()
	if err := upkeep.Ready(); err == nil || err.Error() != "not running" {
		w.t.Errorf("ready: %v", err)
	}
	ctx, stop := context.WithCancel(w.t.Context())
	ended := make(chan error)
	go func() { ended <- upkeep.Run(ctx) }()
	synctest.Wait()
	if err := upkeep.Ready(); err != nil {
		w.t.Errorf("ready: %v", err)
	}
	if err := upkeep.Run(ctx); err == nil || !strings.Contains(err.Error(), "commands restaurant runs already") {
		w.t.Errorf("run twice: %v", err)
	}
	test(w)
	stop()
	if err := <-ended; err != nil {
		w.t.Errorf("Run returned %v", err)
	}
}

func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) breakLock(target string) {
	w.t.Helper()
	if err := w.db.Admin().BreakLock(w.t.Context(), "kitchen", target, admin.Action{Actor: "test", Reason: "to see"}); err != nil {
		w.t.Error(err)
	}
}

func TestUpkeepWorksOffBrokenLocks(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		w.handleAll(w.forSaga("1", "T", "soup"), w.forSaga("2", "T", "fish"), w.forSaga("2", "T", "ham"), w.forSaga("3", "T", "egg"))
		w.breakLock("T")
		w.pass(time.Second)
		w.asked("soup fish ham")
		w.locked("T:2:1")
		w.told("tidings.done", "tidings.done", "tidings.done")
		w.breakLock("T")
		w.pass(time.Second)
		w.asked("soup fish ham egg")
		w.locked("T:3:0")
	})
}

func TestUpkeepRejectsWhatFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail  func(w *world)
		calls string
		told  string
	}{
		"attempts": {func(w *world) { w.answering("bad", command.Answer{}, errors.New("bad")) }, "soup bad bad bad bad fish", "tidings.failed rejected: bad"},
		"permanent": {func(w *world) { w.answering("bad", command.Answer{}, inbox.Permanent(errors.New("bad"))) }, "soup bad bad fish",
			"tidings.failed rejected: bad"},
		"panic": {func(w *world) { w.panicking("bad") }, "soup bad bad bad bad fish", "tidings.failed rejected: handler panicked: no bad"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				c.fail(w)
				w.handleAll(w.forSaga("1", "T", "soup"), w.forSaga("2", "T", "bad"), w.forSaga("3", "T", "fish"))
				unlock := w.unlocking("1")
				for range 2 { // as the inbox does
					_ = w.handled(unlock)
				}
				w.pass(time.Minute)
				w.asked(c.calls)
				w.told("tidings.done", c.told, "tidings.done")
				w.effects("fish x", "soup x")
				w.locked("T:3:0")
			}, command.WithAttempts(3))
		})
	}
}

// A command that fails does not take those before it back for good.
func TestUpkeepHandlesWhatIsBeforeAFailure(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		w.answering("bad", command.Answer{}, errors.New("bad"))
		w.handleAll(w.forSaga("1", "T", "soup"), w.forSaga("2", "T", "a"), w.forSaga("2", "T", "b"), w.forSaga("2", "T", "bad"),
			w.forSaga("2", "T", "c"), w.forSaga("3", "T", "fish"))
		w.breakLock("T")
		w.pass(time.Minute)
		w.effects("a x", "b x", "c x", "soup x")
		w.told("tidings.done", "tidings.done", "tidings.done", "tidings.failed rejected: bad", "tidings.done")
		w.locked("T:2:1")
		w.asked("soup a b bad a b bad a b c")
	}, command.WithAttempts(2))
}

// What may pass is tried until it does.
func TestUpkeepIsPatient(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		w.answering("bad", command.Answer{}, memory.ErrDeadlock)
		w.handleAll(w.forSaga("1", "T", "soup"), w.forSaga("2", "T", "bad"))
		w.breakLock("T")
		w.pass(time.Hour)
		w.told("tidings.done")
		w.answering("bad", command.Done(), nil)
		w.pass(2 * time.Minute)
		w.told("tidings.done", "tidings.done")
		w.effects("bad x", "soup x")
	}, command.WithAttempts(1))
}

// A notification has nobody to tell: it goes on waiting, and holds up its target only.
func TestUpkeepKeepsFailingNotifications(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		w.answering("bad", command.Answer{}, inbox.Permanent(errors.New("bad")))
		m := w.forSaga("2", "T", "bad")
		delete(m.Headers, command.HeaderReplyChannel)
		w.handleAll(w.forSaga("1", "T", "soup"), m, w.forSaga("3", "T", "fish"), w.forSaga("1", "U", "tea"), w.forSaga("4", "U", "egg"))
		w.breakLock("T")
		w.breakLock("U")
		w.pass(time.Hour)
		w.effects("egg x", "soup x", "tea x")
		w.answering("bad", command.Done(), nil)
		w.pass(2 * time.Minute)
		w.effects("bad x", "egg x", "soup x", "tea x")
		w.locked("T:2:1 U:4:0")
	})
}

// A saga may have taken the lock before the upkeep comes.
func TestUpkeepFindsNothing(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		w.pass(time.Hour)
		w.asked("")
	})
}
