package saga_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/store/memory"
)

func create(ctx context.Context, tx *memory.Tx, d *order) error {
	return tx.Put(ctx, "order/"+d.Order, "PENDING")
}

func cancel(ctx context.Context, tx *memory.Tx, d *order) error {
	return tx.Put(ctx, "order/"+d.Order, "CANCELLED")
}

func approve(ctx context.Context, tx *memory.Tx, d *order) error {
	return tx.Put(ctx, "order/"+d.Order, "APPROVED")
}

func ask(d *order) reserve         { return reserve{d.Order, d.Customer} }
func askBack(d *order) release     { return release{d.Order} }
func askMoney(d *order) charge     { return charge{d.Order} }
func left(d *order, r reserved)    { d.Left = r.Left }
func whyNot(d *order, r refused)   { d.Why = r.Why }
func never(*order) bool            { return false }
func orderOf(id, who string) order { return order{Order: id, Customer: who} }

// createOrder is the saga of the design: three steps with compensation.
func createOrder() *saga.Definition[order] {
	return saga.Define("create-order",
		saga.Local("create", create, saga.UndoLocally(cancel)),
		saga.Invoke("reserve", shop, ask, saga.OnReply(left), saga.OnReply(whyNot), saga.UndoBy(askBack)),
		saga.Local("approve", approve))
}

func TestOrderIsCreatedOrCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse["bob"] = "broke"
	def := createOrder()
	m := w.manager(def)
	w.participants()
	w.run(m, w.relay(w.orders, "orders"))

	if !start(w, m, def, "1", orderOf("1", "ada")) || start(w, m, def, "1", orderOf("1", "eve")) {
		t.Error("the id does not name one saga")
	}
	start(w, m, def, "2", orderOf("2", "bob"))
	good := ended(w, m, def, "1")
	if !good.Completed() || good.Data.Left != 7 || w.orders.Get("order/1") != "APPROVED" || w.others.Get("reserved/1") != "I" {
		t.Errorf("%+v, order %s, reserved %q", good, w.orders.Get("order/1"), w.others.Get("reserved/1"))
	}
	bad := ended(w, m, def, "2")
	if bad.State != machine.Compensated || bad.Data.Why != "broke" || w.orders.Get("order/2") != "CANCELLED" ||
		w.others.Get("reserved/2")+w.others.Get("released/2") != "" {
		t.Errorf("%+v, order %s\n%s", bad, w.orders.Get("order/2"), w.journal(saga.Ref{Type: "create-order", ID: "2"}))
	}
}

func TestStartIsTheCallersTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := createOrder()
	m := w.manager(def)
	tx := w.orders.Begin()
	if _, err := saga.Start(t.Context(), tx, m, def, "1", orderOf("1", "ada")); err != nil {
		t.Fatal(err)
	}
	tx.Rollback()
	if r, err := w.orders.Sagas().Get(t.Context(), saga.Ref{Type: "create-order", ID: "1"}); err != nil || r != nil {
		t.Errorf("a saga of a transaction that was rolled back: %+v, %v", r, err)
	}
	for want, id := range map[string]string{"id is empty": "", "300 bytes": strings.Repeat("x", 300)} {
		err := w.orders.InTx(t.Context(), func(ctx context.Context, tx *memory.Tx) error {
			_, err := saga.Start(ctx, tx, m, def, id, order{})
			return err
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	other := createOrder()
	err := w.orders.InTx(t.Context(), func(ctx context.Context, tx *memory.Tx) error {
		_, err := saga.Start(ctx, tx, m, other, "1", order{})
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "add it to Definitions") {
		t.Errorf("another definition: %v", err)
	}
}

// TestLocalStepFails: a step's error is recorded, what it wrote is not, and it is tried again.
func TestLocalStepFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tries := 0
	flaky := func(ctx context.Context, tx *memory.Tx, d *order) error {
		tries++
		if err := tx.Put(ctx, "flaky", strings.Repeat("I", tries)); err != nil {
			return err
		}
		if tries < 3 {
			return errNo
		}
		if tries == 3 {
			panic("once")
		}
		return nil
	}
	refuse := func(ctx context.Context, tx *memory.Tx, d *order) error {
		if err := tx.Put(ctx, "refused", "written"); err != nil {
			return err
		}
		return saga.Refuse(errNo)
	}
	good := saga.Define("good", saga.Invoke("reserve", shop, ask),
		saga.Local("flaky", flaky).Retry(5, time.Millisecond, time.Millisecond))
	bad := saga.Define("bad", saga.Invoke("reserve", shop, ask, saga.UndoBy(askBack)), saga.Local("refuse", refuse))
	m := w.manager(good, bad)
	w.participants()
	w.run(m, w.relay(w.orders, "orders"))
	start(w, m, good, "1", orderOf("1", "ada"))
	if out := ended(w, m, good, "1"); !out.Completed() || w.orders.Get("flaky") != "IIII" {
		t.Errorf("%+v, flaky %q", out, w.orders.Get("flaky"))
	}
	if journal := w.journal(saga.Ref{Type: "good", ID: "1"}); !strings.Contains(journal, "panic: once") || strings.Count(journal, "attempt failed") != 3 {
		t.Errorf("journal:\n%s", journal)
	}
	start(w, m, bad, "2", orderOf("2", "ada"))
	if out := ended(w, m, bad, "2"); out.State != machine.Compensated || w.orders.Get("refused") != "" || w.others.Get("released/2") != "I" {
		t.Errorf("%+v, refused %q, released %q", out, w.orders.Get("refused"), w.others.Get("released/2"))
	}
}

func TestGroupsConditionsChildrenAndWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	child := saga.Define("child", saga.Invoke("charge", bank, askMoney))
	def := saga.Define("all",
		saga.Parallel("both",
			saga.Invoke("reserve", shop, ask, saga.OnReply(left), saga.UndoBy(askBack)),
			saga.Local("create", create, saga.UndoLocally(cancel))),
		saga.When(never, saga.Local("never", cancel)),
		saga.Sub("pay", child, func(d *order) order { return *d }, saga.OnEnd(func(d *order, c order) { d.Why = "paid " + c.Order })),
		saga.WaitUntil("a-while", func(_ *order, now time.Time) time.Time { return now.Add(20 * time.Millisecond) }),
		saga.Local("approve", approve))
	m := w.manager(def, child)
	w.participants()
	w.run(m, w.relay(w.orders, "orders"))
	start(w, m, def, "1", orderOf("1", "ada"))
	out := ended(w, m, def, "1")
	if !out.Completed() || out.Data.Left != 7 || out.Data.Why != "paid 1" || w.orders.Get("order/1") != "APPROVED" || w.others.Get("charged/1") != "I" {
		t.Errorf("%+v\n%s", out, w.journal(saga.Ref{Type: "all", ID: "1"}))
	}
}
