package command_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidings.example/admin"
	"tidings.example/command"
	"tidings.example/inbox"
)

// locks returns the locks, each as target:saga:waiting.
func (w *world) locks() string {
	w.t.Helper()
	all, err := w.db.Admin().ListLocks(w.t.Context(), admin.LockFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	var got []string
	for _, l := range all {
		got = append(got, fmt.Sprintf("%s:%s:%d", l.Target, l.SagaID, l.Waiting))
	}
	slices.Sort(got)
	return strings.Join(got, " ")
}

func (w *world) locked(want string) {
	w.t.Helper()
	if got := w.locks(); got != want {
		w.t.Errorf("locks %q, want %q", got, want)
	}
}

func TestCommandsWaitForALock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.handleAll(w.forSaga("1", "T", "soup"), w.forSaga("2", "T", "fish"), w.forSaga("3", "U", "egg"), w.forSaga("3", "T", "ham"),
		w.forSaga("2", "T", "pie"), w.forSaga("1", "T", "tea"))
	w.asked("soup egg tea")
	w.locked("T:1:3 U:3:0")
	w.told("tidings.done", "tidings.done", "tidings.done")
	if r := w.replies()[0]; r.Locked != "T" || r.Saga.ID != "1" {
		t.Errorf("reply %+v", r)
	}

	// The first that waits locks it in turn; what waits behind goes on waiting, unless it is of the same saga.
	w.handleAll(w.unlocking("1"))
	w.asked("soup egg tea fish pie")
	w.locked("T:2:1 U:3:0")
	w.handleAll(w.unlocking("2"))
	w.asked("soup egg tea fish pie ham")
	w.locked("T:3:0 U:3:0")
	w.handleAll(w.unlocking("3"), w.unlocking("3"), w.unlocking("9"))
	w.locked("")
	w.effects("egg x", "fish x", "ham x", "pie x", "soup x", "tea x")
	for _, r := range w.replies() {
		if !r.Success || r.Locked == "" {
			t.Errorf("reply %+v", r)
		}
	}
	// A reply names the command as its cause, not the unlock that let it go on.
	if r := w.replies()[3]; r.Saga.ID != "2" || r.Message.Headers["causationid"] == "" || r.Message.Headers["causationid"] == w.replies()[4].Message.Headers["causationid"] {
		t.Errorf("reply %+v", r.Message)
	}
}

// The saga that gets the lock gets all that it waits for, also behind others:
// it might otherwise never end.
func TestTheOwnersCommandsDoNotWaitBehindOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.handleAll(w.forSaga("1", "T", "soup"), w.forSaga("2", "T", "a"), w.forSaga("3", "T", "x"), w.forSaga("2", "T", "b"),
		w.forSaga("3", "T", "y"), w.forSaga("2", "T", "c"), w.unlocking("1"))
	w.asked("soup a b c")
	w.locked("T:2:2")
	w.handleAll(w.unlocking("2"))
	w.asked("soup a b c x y")
	w.locked("T:3:0")
}

// Several of one saga that wait for the same target run together.
func TestCommandsOfOneSagaRunTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.handleAll(w.forSaga("1", "T", "soup"), w.forSaga("2", "T", "a"), w.forSaga("2", "T", "b"), w.forSaga("3", "T", "c"), w.unlocking("1"))
	w.asked("soup a b")
	w.locked("T:2:1")
}

func TestCommandsWithoutASagaRespectLocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bare := func(dish string) { w.handleAll(message(t, kitchen, &cook{"T", dish})) }
	bare("first")
	w.locked("")
	w.handleAll(w.forSaga("1", "T", "soup"))
	bare("second")
	bare("third")
	w.handleAll(w.forSaga("2", "T", "fish"))
	w.asked("first soup")
	w.handleAll(w.unlocking("1"))
	w.asked("first soup second third fish")
	w.locked("T:2:0")
	if r := w.replies()[0]; r.Locked != "" {
		t.Errorf("reply %+v", r)
	}
}

func TestRespecting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	command.On(w.recv, kitchen, w.reserve, command.Respecting(func(c reserve) string { return "T" }))
	look := func(saga, name string) {
		w.handleAll(message(t, kitchen, reserve{Customer: name}, command.ForSaga(command.Saga{Type: "order", ID: saga}, "look")))
	}
	look("1", "a")
	w.locked("")
	w.handleAll(w.forSaga("1", "T", "soup"))
	look("1", "own")
	look("2", "other")
	w.asked("a soup own")
	w.locked("T:1:1")
	w.handleAll(w.unlocking("1"))
	w.asked("a soup own other")
	w.locked("")
	if r := w.replies()[0]; r.Locked != "" {
		t.Errorf("reply %+v", r)
	}
}

func TestNoTargetIsNoLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.handleAll(w.forSaga("1", "", "soup"), w.forSaga("2", "", "fish"))
	w.asked("soup fish")
	w.locked("")
	for _, bad := range []string{strings.Repeat("x", 256), "a\nb"} {
		if err := w.handled(w.forSaga("1", bad, "ham")); !inbox.IsPermanent(err) || !strings.Contains(err.Error(), "is not text of at most 255 bytes") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func TestUnlocksThatMeanNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.handleAll(w.forSaga("1", "T", "soup"))
	other := w.unlocking("1")
	other.Headers[command.HeaderSagaType] = "another"
	unknown := w.unlocking("1")
	unknown.Headers[command.HeaderParticipant] = "unknown"
	customersOnly := w.unlocking("1")
	customersOnly.Headers[command.HeaderParticipant], customersOnly.Channel = "customers", customers.Channel
	w.handleAll(other, unknown, customersOnly)
	w.locked("T:1:0")
	if got := w.recv.Skipped(); len(got) != 1 || got[0].Type != command.TypeUnlock || got[0].Participant != "unknown" {
		t.Errorf("skipped %+v", got)
	}
	nobody := w.unlocking("1")
	delete(nobody.Headers, command.HeaderSagaID)
	if err := w.handled(nobody); !inbox.IsPermanent(err) || !strings.Contains(err.Error(), "unlock names no saga") {
		t.Errorf("got %v", err)
	}
	if settled, err := w.recv.GiveUp(t.Context(), nil, nobody, errors.New("x")); settled || err != nil {
		t.Errorf("given up: %v, %v", settled, err)
	}
}

// An unlock that a waiting command makes fail releases the target the next time,
// and leaves the command to the upkeep.
func TestUnlockGoesOnWithoutAFailingCommand(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(w *world){
		"error": func(w *world) { w.answering("bad", command.Answer{}, errors.New("bad")) },
		"panic": func(w *world) { w.panicking("bad") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			fail(w)
			w.handleAll(w.forSaga("1", "T", "soup"), w.forSaga("2", "T", "bad"), w.forSaga("3", "T", "fish"))
			unlock := w.unlocking("1")
			if err := w.handled(unlock); err == nil || !strings.Contains(err.Error(), "command that waited for T of kitchen: ") {
				t.Errorf("got %v", err)
			}
			w.locked("T:1:2")
			w.handleAll(unlock)
			w.locked("")
			// What has waited longer comes first, also where nobody has the lock.
			w.handleAll(w.forSaga("4", "T", "ham"))
			w.locked("")
			broken, err := w.db.Commands().Broken(t.Context(), "kitchen", 9)
			if err != nil || len(broken) != 1 || broken[0].Name != "T" {
				t.Errorf("broken %+v, %v", broken, err)
			}
			w.effects("soup x")
			w.asked("soup bad")
		})
	}
}

// One unlock does not run for ever.
func TestUnlockHandlesABoundedNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.handleAll(w.forSaga("1", "T", "soup"))
	for i := range 150 {
		w.handleAll(message(t, kitchen, &cook{"T", fmt.Sprint(i)}))
	}
	w.handleAll(w.unlocking("1"))
	if n := len(w.db.Values()); n != 101 {
		t.Errorf("%d were handled, want 100 and the first", n)
	}
}

// A waiting command whose target is another by now waits for that.
func TestTargetThatChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.handleAll(w.forSaga("1", "T", "soup"), w.forSaga("2", "U", "egg"), w.forSaga("3", "T", "fish"))
	next := command.NewReceiver("restaurant", w.db.Outbox(), w.db.Commands())
	command.On(next, kitchen, w.cook, command.Locking(func(c *cook) string { return "U" }))
	w.recv = next
	w.handleAll(w.unlocking("1"))
	w.asked("soup egg")
	w.locked("U:2:1")
	w.handleAll(w.unlocking("2"))
	w.asked("soup egg fish")
	w.locked("U:3:0")
	if _, err := w.db.Commands().Broken(context.Background(), "kitchen", 1); err != nil {
		t.Error(err)
	}
}
