package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
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

// saved changes a saga in a transaction of its own and commits it.
func (e *env[Tx]) saved(ref saga.Ref, change func(r *saga.Record), journal ...machine.Entry) {
	e.Helper()
	e.ok(e.db.Sagas.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		r, err := e.db.Sagas.Load(ctx, tx, ref)
		if err != nil {
			return err
		}
		change(r)
		return e.db.Sagas.Save(ctx, tx, r, journal)
	}))
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

func testSagaSave[Tx any](e *env[Tx]) {
	r := newSaga("a")
	r.Request = []byte(`{"op":"fail"}`)
	r.Wake = at(3)
	e.insert(r)
	var got *saga.Record
	e.saved(r.Ref, func(r *saga.Record) {
		r.State, r.Step, r.Error, r.Fingerprint = machine.Failed, "", "gone", "f2"
		r.Data, r.Instance, r.Request = []byte(`{}`), []byte(`{"state":"failed"}`), nil
		r.Wake, r.Changed, r.Ended = time.Time{}, at(9), at(9)
		got = r
	}, entry(1), entry(2))
	if got.Version != 2 {
		e.Errorf("version after save is %d", got.Version)
	}
	e.wantSaga(got)
	e.wantJournal(r.Ref, entry(1), entry(2))
	if _, ok, err := e.db.Sagas.NextWake(e.ctx); ok || err != nil {
		e.Errorf("next wake: %v, %v", ok, err)
	}
	missing := newSaga("missing")
	missing.Version = 1
	if err := e.tryTx(func(tx Tx) error { return e.db.Sagas.Save(e.ctx, tx, missing, nil) }); !errors.Is(err, saga.ErrConflict) {
		e.Errorf("save of a saga that is not there: %v", err)
	}
}

func testSagaReadsItself[Tx any](e *env[Tx]) {
	e.ok(e.db.Sagas.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		r := newSaga("a")
		if _, err := e.db.Sagas.Insert(ctx, tx, r, nil); err != nil {
			return err
		}
		for i := range 3 {
			r.Step = fmt.Sprint(i)
			if err := e.db.Sagas.Save(ctx, tx, r, []machine.Entry{entry(i + 1)}); err != nil {
				return err
			}
			got, err := e.db.Sagas.Load(ctx, tx, r.Ref)
			if err != nil || got == nil {
				return fmt.Errorf("load: %v, %w", got, err)
			}
			if diff := sameSaga(got, r); diff != "" || got.Version != int64(i+2) {
				e.Errorf("version %d: %s", got.Version, diff)
			}
			r = got
		}
		return nil
	}))
}

func testSagaConflict[Tx any](e *env[Tx]) {
	r := newSaga("a")
	e.insert(r)
	first, second := e.saga(r.Ref), e.saga(r.Ref)
	first.Step, second.Step = "first", "second"
	e.inTx(func(tx Tx) error { return e.db.Sagas.Save(e.ctx, tx, first, []machine.Entry{entry(1)}) })
	err := e.tryTx(func(tx Tx) error { return e.db.Sagas.Save(e.ctx, tx, second, []machine.Entry{entry(1)}) })
	if !errors.Is(err, saga.ErrConflict) || second.Version != 1 {
		e.Errorf("second save: %v, version %d", err, second.Version)
	}
	e.wantSaga(first)
	e.wantJournal(r.Ref, entry(1))
}

// Each of many transactions adds one to what it has loaded; those that are told
// of a conflict do it again. None is lost.
func testSagaRace[Tx any](e *env[Tx]) {
	const savers, times = 8, 5
	r := newSaga("a")
	r.Step = ""
	e.insert(r)
	add := func() error {
		return e.db.Sagas.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
			r, err := e.db.Sagas.Load(ctx, tx, r.Ref)
			if err != nil {
				return err
			}
			r.Step += "x"
			return e.db.Sagas.Save(ctx, tx, r, []machine.Entry{entry(len(r.Step))})
		})
	}
	var wait sync.WaitGroup
	for range savers {
		wait.Go(func() {
			for range times {
				err := add()
				for err != nil && e.db.Sagas.Transient(err) && e.ctx.Err() == nil {
					err = add()
				}
				if err != nil {
					e.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	got := e.saga(r.Ref)
	if len(got.Step) != savers*times || got.Version != 1+savers*times {
		e.Errorf("after %d changes the step has %d and the version is %d", savers*times, len(got.Step), got.Version)
	}
}

func testSagaInsertRace[Tx any](e *env[Tx]) {
	const inserters = 8
	var wait sync.WaitGroup
	var mu sync.Mutex
	count := map[string]int{}
	for i := range inserters {
		wait.Go(func() {
			for n := range 10 {
				id := fmt.Sprint((n*7 + i) % 10)
				try := func() (inserted bool, err error) {
					err = e.db.Sagas.InTx(e.ctx, func(ctx context.Context, tx Tx) (err error) {
						inserted, err = e.db.Sagas.Insert(ctx, tx, newSaga(id), []machine.Entry{entry(1)})
						return err
					})
					return inserted, err
				}
				inserted, err := try()
				for err != nil && e.db.Sagas.Transient(err) && e.ctx.Err() == nil {
					inserted, err = try()
				}
				if err != nil {
					e.Error(err)
				}
				if inserted {
					mu.Lock()
					count[id]++
					mu.Unlock()
				}
			}
		})
	}
	wait.Wait()
	for id, n := range count {
		if n != 1 {
			e.Errorf("saga %s was inserted %d times", id, n)
		}
	}
	if len(count) != 10 {
		e.Errorf("inserted: %v", count)
	}
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

func (e *env[Tx]) due(tx Tx, now time.Time, limit int) []string {
	e.Helper()
	rs, err := e.db.Sagas.Due(e.ctx, tx, now, limit)
	e.ok(err)
	ids := make([]string, len(rs))
	for i, r := range rs {
		ids[i] = r.ID
		if r.Wake.IsZero() || r.Wake.After(now) || r.Version < 1 || len(r.Data) == 0 || len(r.Instance) == 0 {
			e.Errorf("due at %s: %+v", now, r)
		}
	}
	return ids
}

func (e *env[Tx]) wantDue(now time.Time, limit int, want ...string) {
	e.Helper()
	e.ok(e.db.Sagas.InTx(e.ctx, func(_ context.Context, tx Tx) error {
		if got := e.due(tx, now, limit); !slices.Equal(got, want) {
			e.Errorf("due: %q, want %q", got, want)
		}
		return nil
	}))
}

func (e *env[Tx]) wantNextWake(want time.Time) {
	e.Helper()
	got, ok, err := e.db.Sagas.NextWake(e.ctx)
	if err != nil || ok != !want.IsZero() || !got.Equal(want) {
		e.Errorf("next wake: %s, %v, %v; want %s", got, ok, err, want)
	}
}

func testSagaDue[Tx any](e *env[Tx]) {
	e.wantNextWake(time.Time{})
	e.wantDue(at(1000), 10)
	for id, wake := range map[string]int{"d": 40, "a": 10, "c": 30, "b": 20} {
		r := newSaga(id)
		r.Wake = at(wake)
		e.insert(r)
	}
	e.insert(newSaga("never"))
	e.wantNextWake(at(10))
	e.wantDue(at(9), 10)
	e.wantDue(at(10).Add(-time.Microsecond), 10)
	e.wantDue(at(10), 10, "a")
	e.wantDue(at(30), 10, "a", "b", "c")
	e.wantDue(at(1000), 2, "a", "b")
	e.saved(newSaga("a").Ref, func(r *saga.Record) { r.Wake = at(50) })
	e.saved(newSaga("b").Ref, func(r *saga.Record) { r.Wake = time.Time{} })
	e.wantNextWake(at(30))
	e.wantDue(at(1000), 10, "c", "d", "a")
}

func testSagaDueSkips[Tx any](e *env[Tx]) {
	for i := range 4 {
		r := newSaga(fmt.Sprint(i))
		r.Wake = at(i)
		e.insert(r)
	}
	e.ok(e.db.Sagas.InTx(e.ctx, func(_ context.Context, tx Tx) error {
		if got := e.due(tx, at(9), 2); !slices.Equal(got, []string{"0", "1"}) {
			e.Errorf("first: %q", got)
		}
		return e.db.Sagas.InTx(e.ctx, func(_ context.Context, other Tx) error {
			if got := e.due(other, at(9), 10); !slices.Equal(got, []string{"2", "3"}) {
				e.Errorf("second: %q", got)
			}
			return nil
		})
	}))
	e.wantDue(at(9), 10, "0", "1", "2", "3")
}

// Several workers do what is due; each saga is done once.
func testSagaDueRace[Tx any](e *env[Tx]) {
	const sagas, workers = 60, 6
	var all []*saga.Record
	for i := range sagas {
		r := newSaga(fmt.Sprint(i))
		r.Wake, r.Step = at(i), ""
		all = append(all, r)
	}
	e.insert(all...)
	work := func() (n int, err error) {
		err = e.db.Sagas.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
			due, err := e.db.Sagas.Due(ctx, tx, at(1000), 7)
			if err != nil {
				return err
			}
			n = len(due)
			for i := range due {
				r := &due[i]
				r.Step, r.Wake = r.Step+"x", time.Time{}
				if err := e.db.Sagas.Save(ctx, tx, r, []machine.Entry{entry(1)}); err != nil {
					return err
				}
			}
			return nil
		})
		return n, err
	}
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for e.ctx.Err() == nil {
				n, err := work()
				if err != nil && !e.db.Sagas.Transient(err) {
					e.Error(err)
					return
				}
				if n == 0 && err == nil {
					if _, ok, err := e.db.Sagas.NextWake(e.ctx); !ok || err != nil {
						return
					}
				}
			}
		})
	}
	wait.Wait()
	for _, r := range all {
		if got := e.saga(r.Ref); got.Step != "x" || got.Version != 2 {
			e.Errorf("saga %s: step %q, version %d", r.ID, got.Step, got.Version)
		}
	}
}

func testSagaDefine[Tx any](e *env[Tx]) {
	for i, plan := range []string{`{"name":"first"}`, `{"name":"second"}`} {
		e.ok(e.db.Sagas.Define(e.ctx, "create-order", "f1", []byte(plan), at(i)))
	}
	e.ok(e.db.Sagas.Define(e.ctx, "create-order", "f2", []byte(`{"name":"later","text":"ä\u0000"}`), at(5)))
	e.ok(e.db.Sagas.Define(e.ctx, "cancel-order", "f1", []byte(`{}`), at(7)))
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if err := e.db.Sagas.Define(e.ctx, "at-once", "f1", []byte(`{}`), at(9)); err != nil {
				e.Error(err)
			}
		})
	}
	wait.Wait()
	if e.db.Operator == nil {
		return
	}
	plans, err := e.db.Operator.SagaPlans(e.ctx, "create-order")
	e.ok(err)
	if len(plans) != 2 || plans[0].Fingerprint != "f2" || string(plans[0].Plan) != `{"name":"later","text":"ä\u0000"}` || !plans[0].SeenAt.Equal(at(5)) ||
		plans[1].Fingerprint != "f1" || string(plans[1].Plan) != `{"name":"first"}` || !plans[1].SeenAt.Equal(at(0)) || plans[1].Type != "create-order" {
		e.Errorf("plans: %+v", plans)
	}
	if all, err := e.db.Operator.SagaPlans(e.ctx, ""); err != nil || len(all) != 4 {
		e.Errorf("all plans: %+v, %v", all, err)
	}
}

func testSagaUnfinished[Tx any](e *env[Tx]) {
	put := func(sagaType, fingerprint string, state machine.State, ids ...string) {
		for _, id := range ids {
			r := newSaga(id)
			r.Type, r.Fingerprint, r.State = sagaType, fingerprint, state
			if state.Ended() {
				r.Ended = at(1)
			}
			e.insert(r)
		}
	}
	put("create-order", "f1", machine.Running, "1", "3", "5")
	put("create-order", "f1", machine.Stuck, "2")
	put("create-order", "f1", machine.Completed, "6", "7")
	put("create-order", "f2", machine.Compensating, "4")
	put("cancel-order", "f1", machine.Compensated, "1")
	put("cancel-order", "f3", machine.Running, "2")
	got, err := e.db.Sagas.Fingerprints(e.ctx)
	e.ok(err)
	slices.SortFunc(got, func(a, b saga.Fingerprint) int { return strings.Compare(a.Type+a.Fingerprint, b.Type+b.Fingerprint) })
	if want := []saga.Fingerprint{{Type: "cancel-order", Fingerprint: "f3", Count: 1}, {Type: "create-order", Fingerprint: "f1", Count: 4},
		{Type: "create-order", Fingerprint: "f2", Count: 1}}; !slices.Equal(got, want) {
		e.Errorf("fingerprints: %+v", got)
	}
	for _, c := range []struct {
		after string
		limit int
		want  []string
	}{{"", 10, []string{"1", "2", "3", "5"}}, {"", 2, []string{"1", "2"}}, {"2", 10, []string{"3", "5"}}, {"5", 10, []string{}}} {
		rs, err := e.db.Sagas.Unfinished(e.ctx, "create-order", "f1", c.after, c.limit)
		e.ok(err)
		ids := []string{}
		for _, r := range rs {
			ids = append(ids, r.ID)
			if r.Fingerprint != "f1" || len(r.Data) == 0 || r.Version != 1 {
				e.Errorf("unfinished: %+v", r)
			}
		}
		if !slices.Equal(ids, c.want) {
			e.Errorf("unfinished after %q: %q, want %q", c.after, ids, c.want)
		}
	}
}

func testSagaTransient[Tx any](e *env[Tx]) {
	if !e.db.Sagas.Transient(fmt.Errorf("save: %w", saga.ErrConflict)) || e.db.Sagas.Transient(errors.New("some other")) {
		e.Error("ErrConflict is transient, others need not be")
	}
}
