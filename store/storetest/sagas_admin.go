package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings.example/admin"
	"tidings.example/saga"
	"tidings.example/saga/machine"
)

func sagaAdminTests[Tx any]() []testCase[Tx] {
	return []testCase[Tx]{
		{name: "sagas are listed by what a filter says", run: testSagaList[Tx]},
		{name: "lists are read in pages", run: testSagaPages[Tx]},
		{name: "a saga is shown", run: testSagaShow[Tx]},
		{name: "a journal is read in pages", run: testSagaJournal[Tx]},
		{name: "sagas are counted", run: testSagaCount[Tx]},
		{name: "a request is passed on", run: testSagaRequest[Tx]},
		{name: "a request is not lost to a saver", run: testSagaRequestRace[Tx]},
		{name: "each request is seen once by those who save all the time", run: testSagaRequestsBesideSavers[Tx]},
		{name: "what cannot be requested", run: testSagaRequestRefused[Tx]},
	}
}

// wantJournal checks a saga's journal, where the store can show it.
func (e *env[Tx]) wantJournal(ref saga.Ref, want ...machine.Entry) {
	e.Helper()
	if e.db.Operator == nil {
		return
	}
	got, err := e.db.Operator.SagaJournal(e.ctx, ref.Type, ref.ID, 0, 1000)
	e.ok(err)
	if len(got) != len(want) {
		e.Fatalf("journal of %v: %+v, want %d entries", ref, got, len(want))
	}
	for i, w := range want {
		asAdmin := admin.SagaEntry{Number: w.Number, At: w.At, What: string(w.What), Step: w.Step, Undo: w.Undo, Attempt: w.Attempt,
			Message: w.Message, Type: w.Type, Text: w.Text}
		if got[i] != asAdmin {
			e.Errorf("entry %d: %+v, want %+v", i, got[i], asAdmin)
		}
	}
}

func sagaIDs(all []admin.Saga) []string {
	ids := []string{}
	for _, s := range all {
		ids = append(ids, s.ID)
	}
	return ids
}

func (e *env[Tx]) listSagas(f admin.SagaFilter) []admin.Saga {
	e.Helper()
	all, err := e.db.Operator.ListSagas(e.ctx, f)
	e.ok(err)
	return all
}

func testSagaList[Tx any](e *env[Tx]) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	put := func(id, sagaType, step string, state machine.State, age time.Duration) {
		r := newSaga(id)
		r.Type, r.Step, r.State, r.Changed = sagaType, step, state, now.Add(-age)
		if state.Ended() {
			r.Ended = r.Changed
		}
		e.insert(r)
	}
	put("1", "create-order", "reserve-credit, ask", machine.Running, 6*time.Hour)
	put("2", "cancel-order", "reserve", machine.Stuck, 5*time.Hour)
	put("3", "create-order", "ask", machine.Compensating, 4*time.Hour)
	put("4", "create-order", "", machine.Completed, 3*time.Hour)
	put("5", "create-order", "reserve-credit", machine.Stuck, 2*time.Hour)
	put("6", "cancel-order", "", machine.Compensated, time.Hour)
	put("7", "create-order", "asks", machine.Running, time.Minute)
	put("8", "create-order", "", machine.Failed, 0)
	for _, c := range []struct {
		name   string
		filter admin.SagaFilter
		want   string
	}{
		{"everything", admin.SagaFilter{}, "1 2 3 4 5 6 7 8"},
		{"limit", admin.SagaFilter{Limit: 3}, "1 2 3"},
		{"type", admin.SagaFilter{Type: "cancel-order"}, "2 6"},
		{"state", admin.SagaFilter{States: []string{"stuck"}}, "2 5"},
		{"states", admin.SagaFilter{States: []string{"stuck", "running", "stuck"}}, "1 2 5 7"},
		{"ended", admin.SagaFilter{States: []string{"failed", "compensated", "completed"}}, "4 6 8"},
		{"no such state", admin.SagaFilter{States: []string{"asleep"}}, ""},
		{"step", admin.SagaFilter{Step: "ask"}, "1 3"},
		{"another step", admin.SagaFilter{Step: "reserve-credit"}, "1 5"},
		{"step and state", admin.SagaFilter{Step: "reserve-credit", States: []string{"stuck"}}, "5"},
		{"a step like a pattern", admin.SagaFilter{Step: "%"}, ""},
		{"unchanged", admin.SagaFilter{Unchanged: 210 * time.Minute}, "1 2 3"},
		{"type and age", admin.SagaFilter{Type: "create-order", Unchanged: 210 * time.Minute}, "1 3"},
		{"no such type", admin.SagaFilter{Type: "other"}, ""},
	} {
		got := e.listSagas(c.filter)
		if ids := sagaIDs(got); strings.Join(ids, " ") != c.want {
			e.Errorf("%s: %q, want %q", c.name, ids, c.want)
		}
		for _, s := range got {
			if s.Data != nil || s.Instance != nil || s.Requested || s.Version != 1 || s.Type == "" || s.State == "" || s.Fingerprint != "f1" ||
				!s.Started.Equal(at(0)) || s.Changed.IsZero() || !s.Wake.IsZero() || s.Ended.IsZero() == machine.State(s.State).Ended() {
				e.Errorf("%s: %+v", c.name, s)
			}
		}
	}
}

func testSagaPages[Tx any](e *env[Tx]) {
	var want []string
	for i := range 25 {
		r := newSaga(fmt.Sprintf("%02d", i))
		r.Changed = at(i / 4) // several at the same time
		if i%3 == 0 {
			r.State = machine.Stuck
		}
		want = append(want, r.ID)
		e.insert(r)
	}
	var got []string
	var after *admin.Saga
	for range 10 {
		page := e.listSagas(admin.SagaFilter{After: after, Limit: 6})
		if len(page) == 0 {
			break
		}
		got = append(got, sagaIDs(page)...)
		after = &page[len(page)-1]
	}
	if !slices.Equal(got, want) {
		e.Errorf("pages: %q, want %q", got, want)
	}
}

func testSagaShow[Tx any](e *env[Tx]) {
	r := newSaga("a")
	r.State, r.Error, r.Wake = machine.Stuck, "credit limit", at(5)
	r.Request = []byte(`{}`)
	e.insert(r)
	got, err := e.db.Operator.GetSaga(e.ctx, r.Type, r.ID)
	e.ok(err)
	want := admin.Saga{Type: r.Type, ID: "a", Version: 1, State: "stuck", Step: r.Step, Error: "credit limit", Started: at(0), Changed: at(0), Wake: at(5),
		Fingerprint: "f1", Requested: true, Data: r.Data, Instance: r.Instance}
	if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); a != b {
		e.Errorf("saga is %s, want %s", a, b)
	}
	for _, ref := range []saga.Ref{{Type: r.Type, ID: "A"}, {Type: "other", ID: "a"}} {
		if _, err := e.db.Operator.GetSaga(e.ctx, ref.Type, ref.ID); !errors.Is(err, admin.ErrNotFound) {
			e.Errorf("get %v: %v", ref, err)
		}
	}
}

func testSagaJournal[Tx any](e *env[Tx]) {
	full := machine.Entry{Number: 1, At: at(1), What: machine.OccurredReply, Step: "reserve-credit", Undo: true, Attempt: 3,
		Message: "m1", Type: "CreditReserved", Text: "ein \"Fehler\"\nin zwei Zeilen"}
	bare := machine.Entry{Number: 2, At: at(2), What: machine.OccurredEnd}
	var many []machine.Entry
	for i := range 450 {
		many = append(many, entry(i+3))
	}
	a := newSaga("a")
	e.inTx(func(tx Tx) error {
		_, err := e.db.Sagas.Insert(e.ctx, tx, a, []machine.Entry{full})
		return err
	})
	e.saved(a.Ref, func(*saga.Record) {}, bare)
	e.saved(a.Ref, func(*saga.Record) {}, many...)
	b := newSaga("b")
	e.insert(b)
	e.saved(b.Ref, func(*saga.Record) {}, entry(1))
	e.wantJournal(a.Ref, append([]machine.Entry{full, bare}, many...)...)
	e.wantJournal(b.Ref, entry(1))
	page, err := e.db.Operator.SagaJournal(e.ctx, a.Type, a.ID, 100, 2)
	e.ok(err)
	if len(page) != 2 || page[0].Number != 101 || page[1].Number != 102 {
		e.Errorf("page: %+v", page)
	}
}

func testSagaCount[Tx any](e *env[Tx]) {
	if got, err := e.db.Operator.CountSagas(e.ctx); err != nil || len(got) != 0 {
		e.Errorf("of none: %+v, %v", got, err)
	}
	for i, state := range []machine.State{machine.Running, machine.Running, machine.Stuck, machine.Completed} {
		r := newSaga(fmt.Sprint(i))
		r.State, r.Changed = state, time.Now().Add(-time.Duration(i+1)*time.Hour)
		e.insert(r)
	}
	other := newSaga("0")
	other.Type = "cancel-order"
	e.insert(other)
	got, err := e.db.Operator.CountSagas(e.ctx)
	e.ok(err)
	text := []string{}
	for _, c := range got {
		text = append(text, fmt.Sprintf("%s %s %d", c.Type, c.State, c.Count))
		if c.Type == "create-order" && c.State == "running" && (c.Oldest-2*time.Hour).Abs() > time.Minute {
			e.Errorf("oldest: %s", c.Oldest)
		}
	}
	slices.Sort(text)
	want := []string{"cancel-order running 1", "create-order completed 1", "create-order running 2", "create-order stuck 1"}
	if !slices.Equal(text, want) {
		e.Errorf("counts: %q, want %q", text, want)
	}
}
