package metrics

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/command"
	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/service"
	"tidings.example/store/memory"
)

var _ service.Component = (*SagaWatch)(nil)

// scrape returns what Prometheus gets.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	r := httptest.NewRecorder()
	m.Handler().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	b, err := io.ReadAll(r.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func wantLines(t *testing.T, body string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
}

func TestSagaObserverCounts(t *testing.T) {
	t.Parallel()
	m := New()
	o := m.SagaObserver()
	ref := saga.Ref{Type: "create-order", ID: "1"}
	for _, e := range []machine.Entry{
		{What: machine.OccurredStart},
		{What: machine.OccurredBegin, Step: "reserve"},
		{What: machine.OccurredFailure, Step: "reserve"},
		{What: machine.OccurredDone, Step: "reserve"},
		{What: machine.OccurredFailure, Step: "reserve", Undo: true},
		{What: machine.OccurredUndone, Step: "reserve", Undo: true},
		{What: machine.OccurredLateReply, Step: "reserve"},
		{What: machine.OccurredOperator},
	} {
		o.Recorded(ref, e)
	}
	o.Ended(ref, machine.Compensated, 3*time.Second)
	o.Unknown(saga.Ref{Type: "of somebody else", ID: "x"})
	body := scrape(t, m)
	wantLines(t, body,
		`tidings_sagas_started_total{saga="create-order"} 1`,
		`tidings_saga_steps_total{outcome="attempt failed",saga="create-order",step="reserve"} 1`,
		`tidings_saga_steps_total{outcome="done",saga="create-order",step="reserve"} 1`,
		`tidings_saga_steps_total{outcome="undo attempt failed",saga="create-order",step="reserve"} 1`,
		`tidings_saga_steps_total{outcome="undone",saga="create-order",step="reserve"} 1`,
		`tidings_saga_ignored_replies_total{kind="late"} 1`,
		`tidings_saga_ignored_replies_total{kind="unknown saga"} 1`,
		`tidings_saga_requests_total{saga="create-order"} 1`,
		`tidings_saga_seconds_sum{saga="create-order",state="compensated"} 3`,
	)
	if strings.Contains(body, "of somebody else") || strings.Contains(body, "step begun") {
		t.Errorf("shown is what others name, or what is no outcome:\n%s", body)
	}
}

// TestSagaWatchCounts a database with sagas, locks, commands set aside and timers.
func TestSagaWatchCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, m := memory.New(), New()
		fill(t, db)
		w := m.WatchSagas("orders", db.Admin(), time.Minute)
		if body := scrape(t, m); strings.Contains(body, "tidings_sagas_stuck{") {
			t.Errorf("shown before it was counted:\n%s", body)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		synctest.Wait()
		time.Sleep(5 * time.Second)
		wantLines(t, scrape(t, m),
			`tidings_sagas{saga="create-order",service="orders",state="stuck"} 2`,
			`tidings_sagas{saga="create-order",service="orders",state="completed"} 1`,
			`tidings_sagas_unchanged_seconds{saga="create-order",service="orders",state="stuck"} 600`,
			`tidings_sagas_stuck{service="orders"} 2`,
			`tidings_command_locks{service="orders"} 1`,
			`tidings_command_lock_oldest_seconds{service="orders"} 120`,
			`tidings_commands_set_aside{service="orders"} 1`,
			`tidings_timers_waiting{service="orders"} 2`,
			`tidings_timers_overdue{service="orders"} 1`,
			`tidings_timers_overdue_seconds{service="orders"} 30`,
			`tidings_sagas_counted_seconds{service="orders"} 5`,
			`tidings_sagas_count_failures_total{service="orders"} 0`)
		time.Sleep(time.Minute)
		wantLines(t, scrape(t, m), `tidings_sagas_unchanged_seconds{saga="create-order",service="orders",state="stuck"} 660`)
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

func fill(t *testing.T, db *memory.DB) {
	t.Helper()
	now := time.Now()
	message := func() tidings.Message {
		return tidings.Message{ID: tidings.NewID(), Channel: "kitchen", Key: "1", Type: "CookTicket", Time: now, ContentType: "application/json"}
	}
	err := db.InTx(t.Context(), func(ctx context.Context, tx *memory.Tx) error {
		for i, state := range []machine.State{machine.Stuck, machine.Stuck, machine.Completed} {
			r := &saga.Record{Ref: saga.Ref{Type: "create-order", ID: string(rune('a' + i))}, State: state, Fingerprint: "f", Data: []byte(`{}`),
				Instance: []byte(`{}`), Started: now.Add(-time.Hour), Changed: now.Add(-10 * time.Minute)}
			if i == 0 {
				r.Wake = now.Add(-30 * time.Second)
			}
			if _, err := db.Sagas().Insert(ctx, tx, r, nil); err != nil {
				return err
			}
		}
		target, m := command.Target{Participant: "kitchen", Name: "Ticket/1"}, message()
		if _, err := db.Commands().Lock(ctx, tx, target, command.Saga{Type: "create-order", ID: "a"}, now.Add(-2*time.Minute)); err != nil {
			return err
		}
		if err := db.Commands().SetAside(ctx, tx, target, &m, now); err != nil {
			return err
		}
		return db.Timers().Delay(ctx, tx, now.Add(time.Hour), []tidings.Message{message()})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// failing is a database that cannot be asked for a while.
type failing struct {
	SagaDatabase
	down  atomic.Bool
	asked atomic.Int64
	takes atomic.Int64
}

func (f *failing) CountPending(ctx context.Context) (admin.PendingCount, error) {
	f.asked.Add(1)
	time.Sleep(time.Duration(f.takes.Load()))
	if f.down.Load() {
		return admin.PendingCount{}, errors.New("gone")
	}
	return f.SagaDatabase.CountPending(ctx)
}

// TestSagaWatchKeepsWhatItCounted while the database cannot be asked, and asks
// no more often because Prometheus does.
func TestSagaWatchKeepsWhatItCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memoryDB, m := memory.New(), New()
		fill(t, memoryDB)
		db := &failing{SagaDatabase: memoryDB.Admin()}
		w := m.WatchSagas("orders", db, 0)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = w.Run(ctx)
		}()
		synctest.Wait()
		db.down.Store(true)
		time.Sleep(31 * time.Second)
		for range 10 {
			wantLines(t, scrape(t, m), `tidings_sagas_stuck{service="orders"} 2`,
				`tidings_sagas_counted_seconds{service="orders"} 31`, `tidings_sagas_count_failures_total{service="orders"} 2`)
		}
		if n := db.asked.Load(); n != 3 {
			t.Errorf("the database was asked %d times, want 3", n)
		}
		db.down.Store(false)
		time.Sleep(15 * time.Second)
		wantLines(t, scrape(t, m), `tidings_sagas_counted_seconds{service="orders"} 1`)

		// What takes a second is done every hundred seconds.
		db.takes.Store(int64(time.Second))
		asked := db.asked.Load()
		time.Sleep(1000 * time.Second)
		if n := db.asked.Load() - asked; n < 9 || n > 11 {
			t.Errorf("a database that takes a second was asked %d times in 1000 seconds", n)
		}
		stop()
		<-done
	})
}
