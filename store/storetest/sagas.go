package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tidings.example/saga"
	"tidings.example/saga/machine"
)

func sagaTests[Tx any]() []testCase[Tx] {
	return []testCase[Tx]{
		{name: "a saga comes back whole", run: testSagaWhole[Tx]},
		{name: "a saga is inserted once", run: testSagaTwice[Tx]},
		{name: "ids are compared byte by byte", run: testSagaIDs[Tx]},
		{name: "a roll-back leaves nothing", run: testSagaRollBack[Tx]},
		{name: "a saved saga is the next version", run: testSagaSave[Tx]},
		{name: "a saga is removed with its journal", run: testSagaRemove[Tx]},
		{name: "what is saved is loaded in the same transaction", run: testSagaReadsItself[Tx]},
		{name: "the second of two savers has a conflict", run: testSagaConflict[Tx]},
		{name: "one of many savers at once succeeds", run: testSagaRace[Tx]},
		{name: "two insert the same saga at once", run: testSagaInsertRace[Tx], twoWriters: true},
		{name: "any text is taken", run: testSagaText[Tx]},
		{name: "sagas are due in order", run: testSagaDue[Tx]},
		{name: "what another transaction works on is not due", run: testSagaDueSkips[Tx], twoWriters: true},
		{name: "several work off what is due", run: testSagaDueRace[Tx]},
		{name: "plans are stored once", run: testSagaDefine[Tx]},
		{name: "unfinished sagas are counted and listed", run: testSagaUnfinished[Tx]},
		{name: "a conflict is transient", run: testSagaTransient[Tx]},
	}
}

// at is a time that every store can keep.
func at(seconds int) time.Time {
	return time.Unix(1_700_000_000+int64(seconds), 123_456_000).UTC()
}

func newSaga(id string) *saga.Record {
	return &saga.Record{
		Ref: saga.Ref{Type: "create-order", ID: id}, State: machine.Running, Step: "reserve-credit", Fingerprint: "f1",
		Data: []byte(`{"order":"4711"}`), Instance: []byte(`{"state":"running"}`), Started: at(0), Changed: at(0),
	}
}

func entry(number int) machine.Entry {
	return machine.Entry{Number: number, At: at(number), What: machine.OccurredBegin, Step: "reserve-credit", Attempt: number}
}

// insert commits new sagas without a journal.
func (e *env[Tx]) insert(rs ...*saga.Record) {
	e.Helper()
	e.inTx(func(tx Tx) error {
		for _, r := range rs {
			if ok, err := e.db.Sagas.Insert(e.ctx, tx, r, nil); err != nil || !ok {
				return fmt.Errorf("insert %q: %v, %w", r.ID, ok, err)
			}
		}
		return nil
	})
}

func (e *env[Tx]) saga(ref saga.Ref) *saga.Record {
	e.Helper()
	r, err := e.db.Sagas.Get(e.ctx, ref)
	e.ok(err)
	return r
}

// sameSaga says how two records differ, or is empty.
func sameSaga(got, want *saga.Record) string {
	g, w := *got, *want
	g.Data, g.Instance, g.Request, w.Data, w.Instance, w.Request = nil, nil, nil, nil, nil, nil
	if a, b := fmt.Sprintf("%+v", g), fmt.Sprintf("%+v", w); a != b {
		return fmt.Sprintf("saga is %s, want %s", a, b)
	}
	for _, c := range []struct {
		name string
		a, b []byte
	}{{"data", got.Data, want.Data}, {"instance", got.Instance, want.Instance}, {"request", got.Request, want.Request}} {
		if string(c.a) != string(c.b) || (c.a == nil) != (c.b == nil) {
			return fmt.Sprintf("%s is %.200q, want %.200q", c.name, c.a, c.b)
		}
	}
	return ""
}

func (e *env[Tx]) wantSaga(want *saga.Record) {
	e.Helper()
	got := e.saga(want.Ref)
	if got == nil {
		e.Fatalf("saga %q is not there", want.ID)
	}
	if diff := sameSaga(got, want); diff != "" {
		e.Error(diff)
	}
}

func testSagaWhole[Tx any](e *env[Tx]) {
	full := newSaga("full")
	full.State, full.Error, full.Wake, full.Ended = machine.Stuck, "credit limit: \"exceeded\"\nfor 'ä'", at(5), at(6)
	full.Data = []byte(`{"b": 1.50, "a":"ä\u0000\\ '$1' ?", "big":12345678901234567890}`)
	full.Instance = []byte(`{"steps":{"` + strings.Repeat("x", 100_000) + `":{}}}`)
	full.Request = []byte(`{"op":"retry"}`)
	plain := newSaga("plain")
	e.insert(full, plain)
	for _, want := range []*saga.Record{full, plain} {
		if want.Version != 1 {
			e.Errorf("version after insert is %d", want.Version)
		}
		e.wantSaga(want)
		e.inTx(func(tx Tx) error {
			got, err := e.db.Sagas.Load(e.ctx, tx, want.Ref)
			if err != nil || got == nil {
				return fmt.Errorf("load: %v, %w", got, err)
			}
			if diff := sameSaga(got, want); diff != "" {
				e.Error(diff)
			}
			return nil
		})
	}
	for _, ref := range []saga.Ref{{Type: "create-order", ID: "other"}, {Type: "other", ID: "full"}, {}} {
		e.inTx(func(tx Tx) error {
			if got, err := e.db.Sagas.Load(e.ctx, tx, ref); err != nil || got != nil {
				e.Errorf("load %v: %+v, %v", ref, got, err)
			}
			return nil
		})
		if got := e.saga(ref); got != nil {
			e.Errorf("get %v: %+v", ref, got)
		}
	}
}

func testSagaTwice[Tx any](e *env[Tx]) {
	first := newSaga("a")
	e.insert(first)
	again := newSaga("a")
	again.Step = "another"
	e.inTx(func(tx Tx) error {
		inserted, err := e.db.Sagas.Insert(e.ctx, tx, again, []machine.Entry{entry(1)})
		if inserted {
			e.Error("inserted again")
		}
		return err
	})
	e.wantSaga(first)
	e.wantJournal(first.Ref)
	other := newSaga("a")
	other.Type = "cancel-order"
	e.insert(other)
	// Twice in one transaction, and the transaction goes on.
	e.inTx(func(tx Tx) error {
		for i, want := range []bool{true, false} {
			if inserted, err := e.db.Sagas.Insert(e.ctx, tx, newSaga("b"), nil); err != nil || inserted != want {
				return fmt.Errorf("insert %d: %v, %w", i, inserted, err)
			}
		}
		return e.db.Outbox.Append(e.ctx, tx, message("k"))
	})
	e.wantSaga(&saga.Record{Ref: saga.Ref{Type: "create-order", ID: "b"}, Version: 1, State: machine.Running, Step: "reserve-credit",
		Fingerprint: "f1", Data: newSaga("b").Data, Instance: newSaga("b").Instance, Started: at(0), Changed: at(0)})
}

func testSagaIDs[Tx any](e *env[Tx]) {
	ids := []string{"a", "A", "a ", " a", "ä", "a\u0308", "Ä", strings.Repeat("x", 255), "'; --", "%", "_"}
	for i, id := range ids {
		r := newSaga(id)
		r.Step = fmt.Sprint(i)
		e.insert(r)
	}
	for i, id := range ids {
		if r := e.saga(saga.Ref{Type: "create-order", ID: id}); r == nil || r.ID != id || r.Step != fmt.Sprint(i) {
			e.Errorf("saga %q: %+v", id, r)
		}
	}
}

func testSagaRollBack[Tx any](e *env[Tx]) {
	stop := errors.New("stop")
	e.insert(newSaga("a"))
	if err := e.tryTx(func(tx Tx) error {
		if _, err := e.db.Sagas.Insert(e.ctx, tx, newSaga("b"), []machine.Entry{entry(1)}); err != nil {
			return err
		}
		r, err := e.db.Sagas.Load(e.ctx, tx, newSaga("a").Ref)
		if err != nil {
			return err
		}
		r.Step = "changed"
		if err := e.db.Sagas.Save(e.ctx, tx, r, []machine.Entry{entry(1)}); err != nil {
			return err
		}
		return stop
	}); !errors.Is(err, stop) {
		e.Fatal(err)
	}
	if e.saga(newSaga("b").Ref) != nil || e.saga(newSaga("a").Ref).Step == "changed" {
		e.Error("something stayed")
	}
	e.wantJournal(newSaga("a").Ref)
	e.wantJournal(newSaga("b").Ref)
	e.insert(newSaga("b"))
}

// Errors of handlers and names from messages may hold anything.
func testSagaText[Tx any](e *env[Tx]) {
	r := newSaga("a")
	r.Error = "zero \x00, not UTF-8 \xff\xfe, and long: " + strings.Repeat("ä", 2000)
	r.Step = strings.Repeat("ä", 300)
	bad := entry(1)
	bad.Text, bad.Type, bad.Message, bad.Step = r.Error, "\x00\xff", strings.Repeat("m", 300), strings.Repeat("s", 300)
	long := entry(2)
	long.Text = strings.Repeat("long ", 10_000)
	e.ok(e.db.Sagas.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		_, err := e.db.Sagas.Insert(ctx, tx, r, []machine.Entry{bad, long})
		return err
	}))
	got := e.saga(r.Ref)
	if !strings.Contains(got.Error, "and long") || len([]rune(got.Error)) > 1000 || len([]rune(got.Step)) > 200 || !strings.HasPrefix(got.Step, "ä") {
		e.Errorf("error is %.100q (%d), step is %.100q (%d)", got.Error, len(got.Error), got.Step, len(got.Step))
	}
}
