package saga_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/command"
	"tidings.example/inbox"
	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/store/memory"
)

// watcher notes what a manager tells its observer.
type watcher struct {
	mu      sync.Mutex
	unknown []saga.Ref
	ended   map[saga.Ref]machine.State
}

func (w *watcher) Recorded(saga.Ref, machine.Entry) {}
func (w *watcher) Ended(ref saga.Ref, s machine.State, _ time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended == nil {
		w.ended = map[saga.Ref]machine.State{}
	}
	w.ended[ref] = s
}
func (w *watcher) Unknown(ref saga.Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unknown = append(w.unknown, ref)
}

// reply sends a message to the channel of replies, as a participant might.
func (w *world) reply(m *saga.Manager[*memory.Tx], headers tidings.Headers) {
	w.t.Helper()
	msg := tidings.Message{Channel: m.ReplyChannel(), Key: headers[command.HeaderSagaID], Type: command.TypeDone, Headers: headers, Payload: []byte("{}")}
	err := w.others.InTx(w.t.Context(), func(ctx context.Context, tx *memory.Tx) error { return w.others.Outbox().Append(ctx, tx, msg) })
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestStrangeReplies: what is no reply to what a saga waits for is noted, and changes nothing.
func TestStrangeReplies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var seen watcher
	w.observer = &seen
	def := createOrder()
	m := w.manager(def)
	w.run(m, w.relay(w.orders, "orders"), w.relay(w.others, "others"))
	start(w, m, def, "1", orderOf("1", "ada"))
	ref := saga.Ref{Type: "create-order", ID: "1"}
	of := func(id, step, outcome string) tidings.Headers {
		h := tidings.Headers{command.HeaderSagaType: "create-order", command.HeaderSagaID: id, command.HeaderCommandID: "x", command.HeaderSagaStep: step}
		if outcome != "" {
			h[command.HeaderOutcome] = outcome
		}
		return h
	}
	w.reply(m, of("9", "reserve/1", "success"))
	w.reply(m, tidings.Headers{command.HeaderOutcome: "success"})
	w.reply(m, of("1", "approve/1", "success"))
	w.reply(m, of("1", "reserve/7", "success"))
	w.reply(m, of("1", "nonsense", "success"))
	w.reply(m, of("1", "reserve/1", ""))
	w.reply(m, of("1", "reserve/1", "perhaps"))
	w.until("the strange replies", func() bool { return strings.Count(w.journal(ref), "foreign reply") == 5 })
	if w.state(ref) != machine.Running {
		t.Errorf("state %s\n%s", w.state(ref), w.journal(ref))
	}
	w.reply(m, of("1", "reserve/1", "success"))
	if out := ended(w, m, def, "1"); !out.Completed() {
		t.Errorf("%+v", out)
	}
	w.reply(m, of("1", "reserve/1", "failure"))
	w.until("the repeated reply", func() bool { return strings.Contains(w.journal(ref), "repeated reply") })
	seen.mu.Lock()
	defer seen.mu.Unlock()
	// A batch that is rolled back tells of them again.
	if !slices.Contains(seen.unknown, saga.Ref{Type: "create-order", ID: "9"}) || !slices.Contains(seen.unknown, saga.Ref{}) || seen.ended[ref] != machine.Completed {
		t.Errorf("unknown %v, ended %v", seen.unknown, seen.ended)
	}
}

// TestHandlerPanics: the participant answers for a handler that cannot.
func TestHandlerPanics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := createOrder()
	m := w.manager(def)
	recv := command.NewReceiver("others", w.others.Outbox(), w.others.Commands())
	command.On(recv, shop, func(context.Context, *memory.Tx, command.Of[reserve]) (command.Answer, error) { panic("broken") })
	in, err := recv.Inbox(inbox.Config[*memory.Tx]{Store: w.others.Inbox(), Broker: w.broker, MaxAttempts: 2,
		Backoff: inbox.Backoff{Initial: time.Millisecond, Max: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	w.run(m, in, w.relay(w.orders, "orders"), w.relay(w.others, "others"))
	start(w, m, def, "1", orderOf("1", "ada"))
	// Nothing handles Release: its failure would leave the saga stuck, if it were sent.
	out := ended(w, m, def, "1")
	if out.State != machine.Compensated || !strings.Contains(out.Error, "broken") {
		t.Errorf("%+v\n%s", out, w.journal(saga.Ref{Type: "create-order", ID: "1"}))
	}
}

// operate asks for something as an operator does.
func (w *world) operate(ref saga.Ref, r saga.Request) {
	w.t.Helper()
	r.Actor, r.Reason = "ops", "because"
	encoded, err := json.Marshal(r)
	if err != nil {
		w.t.Fatal(err)
	}
	err = w.orders.Admin().RequestSaga(w.t.Context(), ref.Type, ref.ID, string(r.Op), encoded, admin.Action{Actor: r.Actor, Reason: r.Reason})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestCompensationAlwaysFails: the saga is stuck, for all to see, until somebody repairs it.
func TestCompensationAlwaysFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	repaired := false
	stubborn := func(ctx context.Context, tx *memory.Tx, d *order) error {
		mu.Lock()
		defer mu.Unlock()
		if !repaired {
			return errNo
		}
		return cancel(ctx, tx, d)
	}
	refuse := func(context.Context, *memory.Tx, *order) error { return saga.Refuse(errNo) }
	def := saga.Define("stubborn", saga.Invoke("reserve", shop, ask, saga.UndoBy(askBack)),
		saga.Local("create", create, saga.UndoLocally(stubborn)), saga.Local("refuse", refuse)).Undo(3, time.Millisecond, time.Millisecond)
	m := w.manager(def)
	w.participants()
	w.run(m, w.relay(w.orders, "orders"))
	start(w, m, def, "1", orderOf("1", "ada"))
	ref := saga.Ref{Type: "stubborn", ID: "1"}
	w.until("the saga to be stuck", func() bool { return w.state(ref) == machine.Stuck })
	if n := strings.Count(w.journal(ref), "attempt failed create"); n != 3 {
		t.Errorf("%d attempts\n%s", n, w.journal(ref))
	}
	mu.Lock()
	repaired = true
	mu.Unlock()
	w.operate(ref, saga.Request{Op: machine.RetryNow})
	if out := ended(w, m, def, "1"); out.State != machine.Compensated || w.orders.Get("order/1") != "CANCELLED" || w.others.Get("released/1") != "I" {
		t.Errorf("%+v\n%s", out, w.journal(ref))
	}
	if !strings.Contains(w.journal(ref), "because") {
		t.Errorf("the reason is not in the journal\n%s", w.journal(ref))
	}
}

// TestDefinitionLostAStep: what cannot go on is refused before anything is begun.
func TestDefinitionLostAStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := createOrder()
	start(w, w.manager(def), def, "1", orderOf("1", "ada"))
	lost := saga.Define("create-order", saga.Local("create", create, saga.UndoLocally(cancel)), saga.Local("approve", approve))
	err := w.manager(lost).Run(t.Context())
	bad, ok := errors.AsType[*saga.IncompatibleError](err)
	if !ok || len(bad.Sagas) != 1 || bad.Sagas[0].ID != "1" || !strings.Contains(err.Error(), "reserve") || !strings.Contains(err.Error(), "tidings saga") {
		t.Fatalf("%v", err)
	}
	gone := saga.Define("other", saga.Local("create", create))
	if err := w.manager(gone).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "add it to Definitions") {
		t.Errorf("%v", err)
	}
	// One that has got a step behind it goes on.
	more := saga.Define("create-order",
		saga.Local("create", create, saga.UndoLocally(cancel)),
		saga.Invoke("reserve", shop, ask, saga.OnReply(left), saga.UndoBy(askBack)),
		saga.Invoke("charge", bank, askMoney),
		saga.Local("approve", approve))
	m := w.manager(more)
	w.participants()
	w.run(m, w.relay(w.orders, "orders"))
	if out := ended(w, m, more, "1"); !out.Completed() || w.others.Get("charged/1") != "I" {
		t.Errorf("%+v", out)
	}
}

// TestTwoOrchestrators share the sagas of one database; nothing happens twice.
func TestTwoOrchestrators(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse["bob"] = "broke"
	def := saga.Define("create-order",
		saga.Local("create", create, saga.UndoLocally(cancel)),
		saga.WaitUntil("wait", func(_ *order, now time.Time) time.Time { return now.Add(5 * time.Millisecond) }),
		saga.Invoke("reserve", shop, ask, saga.UndoBy(askBack)).Within(time.Minute),
		saga.Local("count", func(ctx context.Context, tx *memory.Tx, d *order) error { return w.count(ctx, tx, "counted/"+d.Order) }))
	first, second := w.manager(def), w.manager(def)
	w.participants()
	w.run(first, second, w.relay(w.orders, "orders"))
	const n = 60
	for i := range n {
		customer := "ada"
		if i%3 == 0 {
			customer = "bob"
		}
		start(w, first, def, fmt.Sprint(i), orderOf(fmt.Sprint(i), customer))
	}
	for i := range n {
		out := ended(w, second, def, fmt.Sprint(i))
		if out.Completed() != (i%3 != 0) {
			t.Errorf("saga %d: %+v", i, out)
		}
		want := ""
		if out.Completed() {
			want = "I"
		}
		if w.orders.Get(fmt.Sprint("counted/", i)) != want || w.others.Get(fmt.Sprint("reserved/", i)) != want {
			t.Errorf("saga %d: counted %q, reserved %q", i, w.orders.Get(fmt.Sprint("counted/", i)), w.others.Get(fmt.Sprint("reserved/", i)))
		}
	}
}

// TestClockJumps: an hour forward, steps time out early and are undone; an
// hour back, nothing times out, and replies go on as ever.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]time.Duration{"forward": 2 * time.Hour, "back": -2 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var mu sync.Mutex
			var offset time.Duration
			w.now = func() time.Time {
				mu.Lock()
				defer mu.Unlock()
				return time.Now().Add(offset)
			}
			def := saga.Define("create-order", saga.Local("create", create, saga.UndoLocally(cancel)),
				saga.Invoke("reserve", shop, ask, saga.UndoBy(askBack)).Within(time.Hour), saga.Local("approve", approve))
			m := w.manager(def)
			w.run(m, w.relay(w.orders, "orders"))
			start(w, m, def, "1", orderOf("1", "ada"))
			ref := saga.Ref{Type: "create-order", ID: "1"}
			mu.Lock()
			offset = jump
			mu.Unlock()
			if jump > 0 {
				w.until("the timeout", func() bool { return w.state(ref) == machine.Compensating })
			}
			// The participant sees both the command and its undo, in order.
			w.participants()
			out := ended(w, m, def, "1")
			released := w.others.Get("released/1")
			if jump > 0 && (out.State != machine.Compensated || released != "I" || w.orders.Get("order/1") != "CANCELLED") ||
				jump < 0 && (!out.Completed() || released != "") || w.others.Get("reserved/1") != "I" {
				t.Errorf("%+v, released %q\n%s", out, released, w.journal(ref))
			}
			if jump > 0 {
				w.until("the late reply", func() bool { return strings.Contains(w.journal(ref), "late reply") })
			}
		})
	}
}

// changed is the data of a program that has changed it beyond recognition.
type changed struct{ Order int }

// TestDataNoLongerDecodes: the saga is stuck, and what comes for it is kept until a
// program can read it again.
func TestDataNoLongerDecodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := createOrder()
	good := w.manager(def)
	start(w, good, def, "1", orderOf("1", "ada"))
	other := saga.Define("create-order",
		saga.Local("create", func(context.Context, *memory.Tx, *changed) error { return nil },
			saga.UndoLocally(func(context.Context, *memory.Tx, *changed) error { return nil })),
		saga.Invoke("reserve", shop, func(*changed) reserve { return reserve{} }, saga.UndoBy(func(*changed) release { return release{} })),
		saga.Local("approve", func(context.Context, *memory.Tx, *changed) error { return nil }))
	ref := saga.Ref{Type: "create-order", ID: "1"}
	ctx, stop := context.WithCancel(t.Context())
	bad := w.manager(other)
	ran := make(chan error)
	go func() { ran <- bad.Run(ctx) }()
	w.participants()
	w.run(w.relay(w.orders, "orders"))
	w.until("the saga to be stuck", func() bool { return w.state(ref) == machine.Stuck })
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	w.run(good)
	w.operate(ref, saga.Request{Op: machine.RetryNow})
	if out := ended(w, good, def, "1"); !out.Completed() || out.Data.Left != 7 || w.others.Get("reserved/1") != "I" {
		t.Errorf("%+v\n%s", out, w.journal(ref))
	}
}

// TestSkipWithAReply: an operator speaks in a participant's stead.
func TestSkipWithAReply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := createOrder()
	m := w.manager(def)
	w.run(m)
	ref := saga.Ref{Type: "create-order", ID: "1"}
	start(w, m, def, "1", orderOf("1", "ada"))
	w.operate(ref, saga.Request{Op: machine.Skip, Success: true, ReplyType: "Reserved", Reply: json.RawMessage(`{"Left":3}`)})
	if out := ended(w, m, def, "1"); !out.Completed() || out.Data.Left != 3 || w.orders.Get("order/1") != "APPROVED" {
		t.Errorf("%+v\n%s", out, w.journal(ref))
	}
	start(w, m, def, "2", orderOf("2", "ada"))
	w.operate(saga.Ref{Type: "create-order", ID: "2"}, saga.Request{Op: machine.Fail})
	if out := ended(w, m, def, "2"); out.State != machine.Failed || w.orders.Get("order/2") != "PENDING" {
		t.Errorf("%+v", out)
	}
}

// TestRetention: sagas that have ended are removed in time, children after all above them.
func TestRetention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.retention = time.Millisecond
	same := func(d *order) order { return *d }
	child := saga.Define("child", saga.Local("create", create, saga.UndoLocally(cancel)))
	middle := saga.Define("middle", saga.Sub("child", child, same))
	def := saga.Define("parent", saga.Sub("middle", middle, same), saga.Invoke("charge", bank, askMoney))
	m := w.manager(def, middle, child)
	w.run(m, w.relay(w.orders, "orders"))
	start(w, m, def, "1", orderOf("1", "ada"))
	parent, below := saga.Ref{Type: "parent", ID: "1"}, []saga.Ref{{Type: "middle", ID: "1/middle"}, {Type: "child", ID: "1/middle/child"}}
	for _, ref := range below {
		w.until("those below to be looked at", func() bool {
			r, err := w.orders.Sagas().Get(t.Context(), ref)
			return err == nil && r != nil && r.Wake.After(time.Now().Add(time.Minute))
		})
	}
	w.participants()
	w.until("the parent to be removed", func() bool { return w.state(parent) == "" && w.others.Get("charged/1") == "I" })
	for _, ref := range below {
		if w.journal(parent) != "" || w.state(ref) != machine.Completed {
			t.Errorf("journal %q, %v is %s", w.journal(parent), ref, w.state(ref))
		}
	}
}

// TestUndoIsRefusedAtFirst: the participant remembers its refusal of a repeatable
// command; the next attempt must be another command, or it would be refused for ever.
func TestUndoIsRefusedAtFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refuse := func(context.Context, *memory.Tx, *order) error { return saga.Refuse(errNo) }
	def := saga.Define("undone", saga.Invoke("reserve", shop, ask, saga.UndoBy(askBack)), saga.Local("refuse", refuse)).
		Undo(5, time.Millisecond, time.Millisecond)
	m := w.manager(def)
	recv := command.NewReceiver("others", w.others.Outbox(), w.others.Commands())
	command.On(recv, shop, w.reserve)
	var mu sync.Mutex
	asked := 0
	command.On(recv, shop, func(ctx context.Context, tx *memory.Tx, c command.Of[release]) (command.Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked < 3 {
			return command.Fail(refused{Why: "not now"}), nil
		}
		return w.release(ctx, tx, c)
	})
	in, err := recv.Inbox(inbox.Config[*memory.Tx]{Store: w.others.Inbox(), Broker: w.broker})
	if err != nil {
		t.Fatal(err)
	}
	w.run(m, in, w.relay(w.orders, "orders"), w.relay(w.others, "others"))
	start(w, m, def, "1", orderOf("1", "ada"))
	if out := ended(w, m, def, "1"); out.State != machine.Compensated || w.others.Get("released/1") != "I" {
		t.Errorf("%+v, released %q\n%s", out, w.others.Get("released/1"), w.journal(saga.Ref{Type: "undone", ID: "1"}))
	}
}
