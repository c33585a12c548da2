package memory_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/command"
	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/store/memory"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newSaga(t *testing.T, db *memory.DB, id string, wake time.Time) saga.Ref {
	t.Helper()
	r := &saga.Record{Ref: saga.Ref{Type: "create-order", ID: id}, State: machine.Running, Fingerprint: "f", Data: []byte(`{"n":1}`),
		Instance: []byte(`{}`), Wake: wake, Started: wake, Changed: wake}
	must(t, db.InTx(t.Context(), func(ctx context.Context, tx *memory.Tx) error {
		inserted, err := db.Sagas().Insert(ctx, tx, r, []machine.Entry{{Number: 1, What: machine.OccurredStart, At: wake}})
		if err == nil && (!inserted || r.Version != 1) {
			err = errors.New("not inserted as version 1")
		}
		return err
	}))
	return r.Ref
}

// Of two transactions that have loaded the same saga, the second to save it is told.
func TestSagaConflict(t *testing.T) {
	t.Parallel()
	db := memory.New()
	sagas := db.Sagas()
	ref := newSaga(t, db, "1", time.Now())
	one, two := db.Begin(), db.Begin()
	first, err := sagas.Load(t.Context(), one, ref)
	must(t, err)
	second, err := sagas.Load(t.Context(), two, ref)
	must(t, err)
	first.Data[5] = '2'
	must(t, sagas.Save(t.Context(), one, first, []machine.Entry{{Number: 2, What: machine.OccurredBegin, Step: "reserve"}}))
	if again, err := sagas.Load(t.Context(), one, ref); err != nil || again.Version != 2 || string(again.Data) != `{"n":2}` {
		t.Errorf("after saving it is loaded as %+v, %v", again, err)
	}
	if other, err := sagas.Get(t.Context(), ref); err != nil || other.Version != 1 {
		t.Errorf("before the commit others see %+v, %v", other, err)
	}
	must(t, one.Commit())
	if err := sagas.Save(t.Context(), two, second, nil); !errors.Is(err, saga.ErrConflict) || !sagas.Transient(err) || !db.Inbox().Transient(err) {
		t.Errorf("saving an old version: %v", err)
	}
	two.Rollback()
	journal, err := db.Admin().SagaJournal(t.Context(), ref.Type, ref.ID, 1, 0)
	if err != nil || len(journal) != 1 || journal[0].Step != "reserve" {
		t.Errorf("journal after entry 1: %+v, %v", journal, err)
	}
}

func TestDueSagasAreHandedOutOnce(t *testing.T) {
	t.Parallel()
	db := memory.New()
	now := time.Now()
	for i, id := range []string{"c", "a", "b", "later"} {
		newSaga(t, db, id, now.Add(time.Duration(i-2)*time.Minute))
	}
	due := func(tx *memory.Tx, limit int) (ids []string) {
		all, err := db.Sagas().Due(t.Context(), tx, now, limit)
		must(t, err)
		for _, r := range all {
			ids = append(ids, r.ID)
		}
		return ids
	}
	one, two := db.Begin(), db.Begin()
	if ids := due(one, 2); !slices.Equal(ids, []string{"c", "a"}) {
		t.Errorf("due are %v", ids)
	}
	if ids := due(two, 2); !slices.Equal(ids, []string{"b"}) {
		t.Errorf("the second gets %v", ids)
	}
	one.Rollback()
	if ids := due(two, 9); !slices.Equal(ids, []string{"c", "a", "b"}) {
		t.Errorf("after the first has given up: %v", ids)
	}
}

func TestRequestedSaga(t *testing.T) {
	t.Parallel()
	db := memory.New()
	act := admin.Action{Actor: "ann", Reason: "why not"}
	started := time.Now().Add(-time.Hour)
	ref := newSaga(t, db, "1", started)
	tx := db.Begin()
	before, err := db.Sagas().Load(t.Context(), tx, ref)
	must(t, err)
	request := []byte(`{"op":"retry"}`)
	must(t, db.Admin().RequestSaga(t.Context(), ref.Type, ref.ID, "retry", request, act))
	if err := db.Admin().RequestSaga(t.Context(), ref.Type, ref.ID, "retry", request, act); !errors.Is(err, admin.ErrRequestWaits) {
		t.Errorf("a second request: %v", err)
	}
	if err := db.Admin().RequestSaga(t.Context(), ref.Type, "no", "retry", request, act); !errors.Is(err, admin.ErrNotFound) {
		t.Errorf("a request to no saga: %v", err)
	}
	if err := db.Sagas().Save(t.Context(), tx, before, nil); !errors.Is(err, saga.ErrConflict) {
		t.Errorf("saving what was loaded before the request: %v", err)
	}
	tx.Rollback()
	must(t, db.InTx(t.Context(), func(ctx context.Context, tx *memory.Tx) error {
		due, err := db.Sagas().Due(ctx, tx, time.Now(), 9)
		if err != nil || len(due) != 1 || string(due[0].Request) != string(request) {
			t.Fatalf("due are %+v, %v", due, err)
		}
		r := due[0]
		r.Request, r.State, r.Wake = nil, machine.Failed, time.Time{}
		return db.Sagas().Save(ctx, tx, &r, nil)
	}))
	if s, err := db.Admin().GetSaga(t.Context(), ref.Type, ref.ID); err != nil || s.Requested || s.Version != 3 || !s.Wake.IsZero() {
		t.Errorf("after it was carried out: %+v, %v", s, err)
	}
	if err := db.Admin().RequestSaga(t.Context(), ref.Type, ref.ID, "retry", request, act); !errors.Is(err, admin.ErrSagaEnded) {
		t.Errorf("a request to an ended saga: %v", err)
	}
	if audit := db.Admin().Audit(); len(audit) != 1 || audit[0].Did != "retry saga" || audit[0].Action != act || audit[0].Detail != string(request) {
		t.Errorf("audit: %+v", audit)
	}
}

func TestDelayedMessagesAreTakenOnce(t *testing.T) {
	t.Parallel()
	db := memory.New()
	timers, now := db.Timers(), time.Now()
	must(t, db.InTx(t.Context(), func(ctx context.Context, tx *memory.Tx) error {
		return errors.Join(
			timers.Delay(ctx, tx, now, []tidings.Message{{ID: "2"}, {ID: "1"}}),
			timers.Delay(ctx, tx, now.Add(-time.Second), []tidings.Message{{ID: "0"}, {ID: "gone"}}),
			timers.Delay(ctx, tx, now.Add(time.Second), []tidings.Message{{ID: "later"}}))
	}))
	must(t, db.InTx(t.Context(), func(ctx context.Context, tx *memory.Tx) error {
		there, err := timers.Cancel(ctx, tx, "gone")
		if again, _ := timers.Cancel(ctx, tx, "gone"); !there || again {
			t.Errorf("cancelled: %v, then %v", there, again)
		}
		return err
	}))
	take := func(tx *memory.Tx, limit int) (ids []string) {
		ms, err := timers.Take(t.Context(), tx, now, limit)
		must(t, err)
		for i := range ms {
			ids = append(ids, ms[i].ID)
		}
		return ids
	}
	one, two := db.Begin(), db.Begin()
	if ids := take(one, 2); !slices.Equal(ids, []string{"0", "2"}) {
		t.Errorf("the first takes %v", ids)
	}
	if ids := take(two, 9); !slices.Equal(ids, []string{"1"}) {
		t.Errorf("the second takes %v", ids)
	}
	must(t, two.Commit())
	one.Rollback()
	if next, ok, err := timers.Next(t.Context()); err != nil || !ok || !next.Equal(now.Add(-time.Second).Truncate(time.Microsecond)) {
		t.Errorf("next is %v, %v, %v", next, ok, err)
	}
}

// The absence of a lock is locked too, and a broken lock's commands are found.
func TestLockedTargets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memory.New()
		commands := db.Commands()
		target := command.Target{Participant: "kitchen", Name: "Ticket/99"}
		ann, bob := command.Saga{Type: "create-order", ID: "ann"}, command.Saga{Type: "create-order", ID: "bob"}
		one, two := db.Begin(), db.Begin()
		if l, err := commands.Lock(t.Context(), one, target, command.Saga{}, time.Now()); err != nil || l != (command.Lock{}) {
			t.Errorf("nobody's lock is %+v, %v", l, err)
		}
		got := make(chan command.Lock, 1)
		go func() {
			l, err := commands.Lock(t.Context(), two, target, bob, time.Now())
			if err != nil {
				t.Error(err)
			}
			got <- l
		}()
		synctest.Wait()
		if len(got) > 0 {
			t.Error("the second transaction does not wait")
		}
		if _, err := commands.Lock(t.Context(), one, target, ann, time.Now()); err != nil {
			t.Error(err)
		}
		must(t, one.Commit())
		if l := <-got; l.Owner != ann || l.Target != target {
			t.Errorf("the lock is %+v", l)
		}
		must(t, commands.SetAside(t.Context(), two, target, &tidings.Message{ID: "m"}, time.Now()))
		must(t, two.Commit())
		if broken, err := commands.Broken(t.Context(), "kitchen", 9); err != nil || len(broken) != 0 {
			t.Errorf("broken before: %v, %v", broken, err)
		}
		locks, err := db.Admin().ListLocks(t.Context(), admin.LockFilter{SagaID: "ann"})
		if err != nil || len(locks) != 1 || locks[0].Waiting != 1 {
			t.Errorf("locks: %+v, %v", locks, err)
		}
		must(t, db.Admin().BreakLock(t.Context(), "kitchen", "Ticket/99", admin.Action{Actor: "ann", Reason: "old"}))
		if broken, err := commands.Broken(t.Context(), "kitchen", 9); err != nil || !slices.Equal(broken, []command.Target{target}) {
			t.Errorf("broken: %v, %v", broken, err)
		}
	})
}
