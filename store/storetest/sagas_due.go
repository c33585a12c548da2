package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tidings.example/saga"
	"tidings.example/saga/machine"
)

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
