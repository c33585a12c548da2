package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tidings.example/saga"
	"tidings.example/saga/machine"
)

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

func testSagaRemove[Tx any](e *env[Tx]) {
	one, other := newSaga("a"), newSaga("b")
	e.insert(one, other)
	e.saved(one.Ref, func(*saga.Record) {}, entry(2))
	if err := e.tryTx(func(tx Tx) error { return e.db.Sagas.Remove(e.ctx, tx, one) }); !errors.Is(err, saga.ErrConflict) {
		e.Errorf("a version of the past: %v", err)
	}
	now, err := e.db.Sagas.Get(e.ctx, one.Ref)
	if err != nil || now == nil {
		e.Fatalf("%v, %v", now, err)
	}
	e.inTx(func(tx Tx) error { return e.db.Sagas.Remove(e.ctx, tx, now) })
	if r, err := e.db.Sagas.Get(e.ctx, one.Ref); r != nil || err != nil {
		e.Errorf("%v, %v", r, err)
	}
	if r, err := e.db.Sagas.Get(e.ctx, other.Ref); r == nil || err != nil {
		e.Errorf("another one: %v, %v", r, err)
	}
	if err := e.tryTx(func(tx Tx) error { return e.db.Sagas.Remove(e.ctx, tx, now) }); !errors.Is(err, saga.ErrConflict) {
		e.Errorf("one that is gone: %v", err)
	}
	// Its place is free, with a journal that begins anew.
	again := newSaga("a")
	e.inTx(func(tx Tx) error {
		_, err := e.db.Sagas.Insert(e.ctx, tx, again, []machine.Entry{entry(1), entry(2)})
		return err
	})
	if again.Version != 1 {
		e.Errorf("version %d", again.Version)
	}
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

func testSagaTransient[Tx any](e *env[Tx]) {
	if !e.db.Sagas.Transient(fmt.Errorf("save: %w", saga.ErrConflict)) || e.db.Sagas.Transient(errors.New("some other")) {
		e.Error("ErrConflict is transient, others need not be")
	}
}
