package saga_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/command"
	"tidings.example/inbox"
	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/service"
	"tidings.example/store/memory"
)

// receive runs a receiver on the participants' database.
func (w *world) receive(name string, register func(r *command.Receiver[*memory.Tx])) {
	w.t.Helper()
	recv := command.NewReceiver(name, w.others.Outbox(), w.others.Commands(), command.WithInterval(5*time.Millisecond))
	register(recv)
	in, err := recv.Inbox(inbox.Config[*memory.Tx]{Store: w.others.Inbox(), Broker: w.broker,
		Backoff: inbox.Backoff{Initial: time.Millisecond, Max: 5 * time.Millisecond}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.run([]service.Component{in, recv.Upkeep()}...)
}

func (w *world) locks() []admin.Lock {
	w.t.Helper()
	all, err := w.others.Admin().ListLocks(w.t.Context(), admin.LockFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func lockAll(reserve) string { return "T" }

// TestHopelessCommandBehindALock: a command that waits for a lock and then fails for good is
// answered, and the lock is released all the same.
func TestHopelessCommandBehindALock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := saga.Define("first", saga.Invoke("reserve", shop, ask), saga.Invoke("charge", bank, askMoney))
	second := saga.Define("second", saga.Invoke("reserve", shop, ask))
	m := w.manager(first, second)
	w.run(m, w.relay(w.orders, "orders"), w.relay(w.others, "others"))
	w.receive("shop", func(r *command.Receiver[*memory.Tx]) {
		command.On(r, shop, func(_ context.Context, _ *memory.Tx, c command.Of[reserve]) (command.Answer, error) {
			if c.Data.Customer == "bad" {
				return command.Answer{}, inbox.Permanent(errNo)
			}
			return command.Done(), nil
		}, command.Locking(lockAll))
	})
	start(w, m, first, "1", orderOf("1", "ada"))
	w.until("the lock", func() bool { return len(w.locks()) == 1 })
	start(w, m, second, "2", orderOf("2", "bad"))
	w.until("the second to wait", func() bool { all := w.locks(); return len(all) == 1 && all[0].Waiting == 1 })
	w.receive("bank", func(r *command.Receiver[*memory.Tx]) {
		command.On(r, bank, func(context.Context, *memory.Tx, command.Of[charge]) (command.Answer, error) {
			return command.Done(), nil
		})
	})
	if out := ended(w, m, first, "1"); !out.Completed() {
		t.Errorf("%+v", out)
	}
	if out := ended(w, m, second, "2"); out.State != machine.Compensated || !strings.Contains(out.Error, "no") {
		t.Errorf("%+v", out)
	}
	w.until("no lock to be left", func() bool { return len(w.locks()) == 0 })
}

// TestLocksOfANotification: nobody says that they were taken, and they are released.
func TestLocksOfANotification(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := saga.Define("told", saga.Notify("tell", shop, ask), saga.Invoke("charge", bank, askMoney))
	m := w.manager(def)
	w.run(m, w.relay(w.orders, "orders"), w.relay(w.others, "others"))
	w.receive("shop", func(r *command.Receiver[*memory.Tx]) {
		command.On(r, shop, func(context.Context, *memory.Tx, command.Of[reserve]) (command.Answer, error) {
			return command.Done(), nil
		},
			command.Locking(lockAll))
	})
	start(w, m, def, "1", orderOf("1", "ada"))
	w.until("the lock", func() bool { return len(w.locks()) == 1 })
	w.receive("bank", func(r *command.Receiver[*memory.Tx]) {
		command.On(r, bank, func(context.Context, *memory.Tx, command.Of[charge]) (command.Answer, error) {
			return command.Done(), nil
		})
	})
	ended(w, m, def, "1")
	w.until("no lock to be left", func() bool { return len(w.locks()) == 0 })
}

// TestRequestBesideAReply: what comes between a request and the timer's look must not
// make the request wait for ever.
func TestRequestBesideAReply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := createOrder()
	m := w.manager(def)
	start(w, m, def, "1", orderOf("1", "ada"))
	ref := saga.Ref{Type: "create-order", ID: "1"}
	w.operate(ref, saga.Request{Op: machine.Fail})
	msg := tidings.Message{ID: "x", Channel: m.ReplyChannel(), Type: command.TypeDone, Headers: tidings.Headers{command.HeaderOutcome: "success",
		command.HeaderCommandID: "x", command.HeaderSagaType: ref.Type, command.HeaderSagaID: ref.ID, command.HeaderSagaStep: "reserve/9"}}
	err := w.orders.InTx(t.Context(), func(ctx context.Context, tx *memory.Tx) error { return m.Handle(ctx, tx, &msg) })
	if err != nil {
		t.Fatal(err)
	}
	w.run(m)
	if out := ended(w, m, def, "1"); out.State != machine.Failed {
		t.Errorf("%+v\n%s", out, w.journal(ref))
	}
}

// TestChildThatAnOperatorHasEnded cannot be undone: its parent is stuck, and says so each time.
func TestChildThatAnOperatorHasEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fails := func(context.Context, *memory.Tx, *order) error { return errNo }
	refuse := func(context.Context, *memory.Tx, *order) error { return saga.Refuse(errNo) }
	child := saga.Define("child", saga.Local("create", create, saga.UndoLocally(fails))).Undo(1, time.Millisecond, time.Millisecond)
	def := saga.Define("parent", saga.Sub("child", child, func(d *order) order { return *d }),
		saga.WaitUntil("wait", func(_ *order, now time.Time) time.Time { return now.Add(time.Millisecond) }),
		saga.Local("refuse", refuse)).Undo(1, time.Millisecond, time.Millisecond)
	m := w.manager(def, child)
	w.run(m)
	parent, below := saga.Ref{Type: "parent", ID: "1"}, saga.Ref{Type: "child", ID: "1/child"}
	start(w, m, def, "1", orderOf("1", "ada"))
	w.until("the child to be stuck", func() bool { return w.state(below) == machine.Stuck })
	w.operate(below, saga.Request{Op: machine.Fail})
	stuck := func(times int) func() bool {
		return func() bool {
			return w.state(parent) == machine.Stuck && strings.Count(w.journal(parent), "stuck child") == times
		}
	}
	w.until("the parent to be stuck", stuck(1))
	w.operate(parent, saga.Request{Op: machine.RetryNow})
	w.until("the parent to be stuck again", stuck(2))
	if r, err := w.orders.Sagas().Get(t.Context(), below); err != nil || r.State != machine.Failed || r.Ended.IsZero() {
		t.Errorf("the child is %+v, %v", r, err)
	}
}

// TestSagaThatCannotBeSaved: its data cannot be encoded, and the others go on.
func TestSagaThatCannotBeSaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := saga.Define("bad", saga.WaitUntil("wait", func(_ *odd, now time.Time) time.Time { return now.Add(time.Millisecond) }),
		saga.Local("spoil", func(_ context.Context, _ *memory.Tx, d *odd) error { d.Value = func() {}; return nil }))
	good := saga.Define("good", saga.WaitUntil("wait", func(_ *order, now time.Time) time.Time { return now.Add(5 * time.Millisecond) }))
	m := w.manager(def, good)
	w.run(m)
	start(w, m, def, "1", odd{})
	for _, id := range []string{"2", "3"} {
		start(w, m, good, id, orderOf(id, "ada"))
	}
	for _, id := range []string{"2", "3"} {
		ended(w, m, good, id)
	}
	w.until("the bad one to say why", func() bool {
		r, err := w.orders.Sagas().Get(t.Context(), saga.Ref{Type: "bad", ID: "1"})
		return err == nil && strings.Contains(r.Error, "encode")
	})
}

// odd is data that may hold what JSON does not have.
type odd struct{ Value any }
