package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidings.example/admin"
	"tidings.example/saga"
	"tidings.example/saga/machine"
)

func testSagaRequest[Tx any](e *env[Tx]) {
	r := newSaga("a")
	r.State, r.Wake = machine.Stuck, time.Now().Add(time.Hour)
	e.insert(r)
	e.ok(e.db.Operator.RequestSaga(e.ctx, r.Type, r.ID, "retry", []byte(`{"op":"retry"}`), because("fixed")))
	e.audited("fixed", `{"op":"retry"}`)
	rows, err := e.db.Audit(e.ctx)
	e.ok(err)
	if len(rows) != 1 || rows[0].Action != "retry saga" || !strings.Contains(rows[0].Target, "create-order") || !strings.Contains(rows[0].Target, `"a"`) {
		e.Errorf("audit: %+v", rows)
	}
	got := e.saga(r.Ref)
	if got.Version != 2 || string(got.Request) != `{"op":"retry"}` || time.Since(got.Wake).Abs() > time.Minute || !got.Changed.Equal(r.Changed) {
		e.Errorf("requested: %+v", got)
	}
	if shown, err := e.db.Operator.GetSaga(e.ctx, r.Type, r.ID); err != nil || !shown.Requested {
		e.Errorf("shown: %+v, %v", shown, err)
	}
	e.wantDue(time.Now().Add(time.Minute), 10, "a")
	// The saver that has seen it takes it away.
	e.saved(r.Ref, func(r *saga.Record) { r.Request = nil })
	e.ok(e.db.Operator.RequestSaga(e.ctx, r.Type, r.ID, "fail", []byte(`{"op":"fail"}`), because("hopeless")))
}

// A transaction that has loaded the saga before the request cannot save it.
func testSagaRequestRace[Tx any](e *env[Tx]) {
	r := newSaga("a")
	e.insert(r)
	before := e.saga(r.Ref)
	e.ok(e.db.Operator.RequestSaga(e.ctx, r.Type, r.ID, "retry", []byte(`{}`), because("fixed")))
	err := e.tryTx(func(tx Tx) error { return e.db.Sagas.Save(e.ctx, tx, before, nil) })
	if !errors.Is(err, saga.ErrConflict) {
		e.Errorf("save: %v", err)
	}
	if got := e.saga(r.Ref); string(got.Request) != `{}` {
		e.Errorf("the request is lost: %+v", got)
	}
}

// Savers change the saga again and again, and take each request away that they
// see. An operator asks as often as that is allowed.
func testSagaRequestsBesideSavers[Tx any](e *env[Tx]) {
	const savers, requests = 3, 20
	r := newSaga("a")
	r.Step = ""
	e.insert(r)
	seen := map[string]int{}
	var mu sync.Mutex
	var wait sync.WaitGroup
	var asked atomic.Bool
	save := func() (string, error) {
		var request string
		err := e.db.Sagas.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
			r, err := e.db.Sagas.Load(ctx, tx, r.Ref)
			if err != nil {
				return err
			}
			request, r.Request = string(r.Request), nil
			return e.db.Sagas.Save(ctx, tx, r, nil)
		})
		return request, err
	}
	for range savers {
		wait.Go(func() {
			for last := false; !last; {
				last = asked.Load()
				request, err := save()
				if err != nil {
					if last = false; !e.db.Sagas.Transient(err) {
						e.Error(err)
						return
					}
				} else if request != "" {
					mu.Lock()
					seen[request]++
					mu.Unlock()
				}
			}
		})
	}
	for i := range requests {
		e.until("the request to be taken", func() bool {
			err := e.db.Operator.RequestSaga(e.ctx, r.Type, r.ID, "retry", fmt.Appendf(nil, `{"n":%d}`, i), because("x"))
			if err != nil && !errors.Is(err, admin.ErrRequestWaits) && !e.db.Sagas.Transient(err) {
				e.Fatal(err)
			}
			return err == nil
		})
	}
	asked.Store(true)
	wait.Wait()
	for i := range requests {
		if n := seen[fmt.Sprintf(`{"n":%d}`, i)]; n != 1 {
			e.Errorf("request %d was seen %d times", i, n)
		}
	}
}

func testSagaRequestRefused[Tx any](e *env[Tx]) {
	ended := newSaga("ended")
	ended.State, ended.Ended = machine.Completed, at(1)
	waits := newSaga("waits")
	waits.Request = []byte(`{"op":"retry"}`)
	open := newSaga("open")
	e.insert(ended, waits, open)
	request := func(id string, body string, a admin.Action) error {
		return e.db.Operator.RequestSaga(e.ctx, "create-order", id, "retry", []byte(body), a)
	}
	for _, c := range []struct {
		name      string
		err, want error
	}{
		{"missing", request("missing", `{}`, because("x")), admin.ErrNotFound},
		{"ended", request("ended", `{}`, because("x")), admin.ErrSagaEnded},
		{"waits", request("waits", `{}`, because("x")), admin.ErrRequestWaits},
	} {
		if !errors.Is(c.err, c.want) {
			e.Errorf("%s: %v, want %v", c.name, c.err, c.want)
		}
	}
	for name, err := range map[string]error{
		"no reason": request("open", `{}`, admin.Action{Actor: "ada"}),
		"no actor":  request("open", `{}`, admin.Action{Reason: "x"}),
		"no JSON":   request("open", `{`, because("x")),
	} {
		if err == nil {
			e.Errorf("%s is taken", name)
		}
	}
	e.wantSaga(ended)
	e.wantSaga(waits)
	e.wantSaga(open)
	if rows, err := e.db.Audit(e.ctx); err != nil || len(rows) != 0 {
		e.Errorf("audit: %+v, %v", rows, err)
	}
	e.ok(e.db.Sagas.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		_, err := e.db.Sagas.Due(ctx, tx, time.Now(), 10)
		return err
	}))
}
