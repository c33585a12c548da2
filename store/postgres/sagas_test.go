package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tidings.example"
	"tidings.example/command"
	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/store/postgres"
)

func sagaRecord(id string, wake time.Time) *saga.Record {
	now := time.Now()
	return &saga.Record{Ref: saga.Ref{Type: "create-order", ID: id}, State: machine.Running, Step: "reserve-credit, create-ticket", Fingerprint: "f1",
		Data: []byte(`{"orderId":1}`), Instance: []byte(`{"state":"running"}`), Wake: wake, Started: now, Changed: now}
}

func entries(from, n int) []machine.Entry {
	all := make([]machine.Entry, n)
	for i := range all {
		all[i] = machine.Entry{Number: from + i, At: time.Now(), What: machine.OccurredBegin, Step: "reserve-credit", Attempt: 1}
	}
	return all
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A saga that another transaction changes is waited for; then its journal is not
// touched, although the numbers of the entries are the same.
func TestSaveOfAnOldVersionWaits(t *testing.T) {
	t.Parallel()
	db, ctx := migrated(t), t.Context()
	sagas := db.Sagas()
	r := sagaRecord("1", time.Time{})
	check(t, sagas.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		inserted, err := sagas.Insert(ctx, tx, r, entries(1, 1))
		if !inserted {
			t.Error("not inserted")
		}
		return err
	}))
	other := *r
	saved := make(chan error, 1)
	check(t, sagas.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		r.Error = "a\x00b"
		if err := sagas.Save(ctx, tx, r, entries(2, 2)); err != nil {
			return err
		}
		go func() {
			saved <- sagas.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
				err := sagas.Save(ctx, tx, &other, entries(2, 2))
				if e := tx.QueryRow(ctx, "SELECT 1").Scan(new(int)); e != nil {
					t.Errorf("the transaction cannot be used after a conflict: %v", e)
				}
				return err
			})
		}()
		return waitForLock(ctx, db, tx)
	}))
	if err := <-saved; !errors.Is(err, saga.ErrConflict) || !sagas.Transient(err) || !db.Inbox().Transient(err) {
		t.Errorf("the second to save: %v", err)
	}
	if other.Version != 1 || r.Version != 2 {
		t.Errorf("versions %d and %d, want 1 and 2", other.Version, r.Version)
	}
	if got, err := sagas.Get(ctx, r.Ref); err != nil || got.Version != 2 || got.Error != "a b" || got.Request != nil || !got.Wake.IsZero() {
		t.Errorf("stored is %+v, %v", got, err)
	}
	if journal, err := db.Admin().SagaJournal(ctx, r.Type, r.ID, 0, 0); err != nil || len(journal) != 3 {
		t.Errorf("%d entries, %v", len(journal), err)
	}
}

// waitForLock waits until somebody waits for tx.
func waitForLock(ctx context.Context, db *postgres.DB, tx pgx.Tx) error {
	for pid, waiting := tx.Conn().PgConn().PID(), false; !waiting; {
		if err := db.Pool().QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))", pid).Scan(&waiting); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// Of two transactions that ask for a target that nobody has locked, one waits for
// the other's end, and sees what it has done.
func TestTheAbsenceOfALockIsLocked(t *testing.T) {
	t.Parallel()
	db, ctx := migrated(t), t.Context()
	commands := db.Commands()
	target := command.Target{Participant: "kitchen", Name: "Ticket/99"}
	ann, bob := command.Saga{Type: "create-order", ID: "ann"}, command.Saga{Type: "create-order", ID: "bob"}
	type outcome struct {
		lock command.Lock
		err  error
	}
	second := make(chan outcome, 1)
	at := time.Now()
	check(t, commands.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if l, err := commands.Lock(ctx, tx, target, command.Saga{}, at); err != nil || l != (command.Lock{}) {
			t.Errorf("nobody's lock: %+v, %v", l, err)
		}
		go func() {
			var o outcome
			o.err = commands.InTx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
				o.lock, err = commands.Lock(ctx, tx, target, bob, at)
				return err
			})
			second <- o
		}()
		if err := waitForLock(ctx, db, tx); err != nil {
			return err
		}
		l, err := commands.Lock(ctx, tx, target, ann, at)
		if l.Owner != ann || !l.Since.Equal(at.Truncate(time.Microsecond)) {
			t.Errorf("taken as %+v", l)
		}
		return err
	}))
	if o := <-second; o.err != nil || o.lock.Owner != ann || o.lock.Target != target {
		t.Errorf("the second gets %+v", o)
	}
}

// Two who take delayed messages at the same time share them.
func TestDelayedMessagesAreShared(t *testing.T) {
	t.Parallel()
	db, ctx := migrated(t), t.Context()
	timers := db.Timers()
	now := time.Now()
	delay := func(ctx context.Context, tx pgx.Tx) error {
		for i := range 4 {
			m := tidings.Message{ID: fmt.Sprint(i), Channel: "c", Type: "T", Headers: tidings.Headers{"a": "b"}, Time: now}
			if err := timers.Delay(ctx, tx, now.Add(-time.Duration(i/2)*time.Second), []tidings.Message{m}); err != nil {
				return err
			}
		}
		return nil
	}
	check(t, timers.InTx(ctx, delay))
	take := func(tx pgx.Tx, limit int) (ids []string) {
		ms, err := timers.Take(ctx, tx, now, limit)
		check(t, err)
		for _, m := range ms {
			ids = append(ids, m.ID)
		}
		return ids
	}
	one, err := db.Pool().Begin(ctx)
	check(t, err)
	defer func() { _ = one.Rollback(ctx) }()
	if ids := take(one, 3); !slices.Equal(ids, []string{"2", "3", "0"}) {
		t.Errorf("the first takes %v", ids)
	}
	check(t, timers.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if ids := take(tx, 3); !slices.Equal(ids, []string{"1"}) {
			t.Errorf("the second takes %v", ids)
		}
		return nil
	}))
	check(t, one.Commit(ctx))
	if err := timers.InTx(ctx, delay); err != nil {
		t.Errorf("ids of messages that were sent cannot be used again: %v", err)
	}
	if err := timers.InTx(ctx, delay); err == nil || timers.Transient(err) {
		t.Errorf("ids that wait are taken twice: %v", err)
	}
}

// With many waiting sagas, what is asked all the time is answered from an index.
func TestSagaPlans(t *testing.T) {
	t.Parallel()
	db, ctx := migrated(t), t.Context()
	check(t, exec(ctx, db, `INSERT INTO tidings_saga (saga_type, id, state, fingerprint, data, instance, wake_at, started_at, changed_at, ended_at)
		SELECT 'create-order', n, CASE WHEN n % 10 = 0 THEN 'running' ELSE 'completed' END, 'f', '{}', '{}',
			CASE WHEN n % 10 = 0 THEN now() + n * interval '1 second' END, now(), now(), CASE WHEN n % 10 > 0 THEN now() END FROM generate_series(1, 20000) AS n;
		INSERT INTO tidings_timer (message_id, due_at, source, channel, message_key, type, subject, content_type, payload, epoch, lane, sequence)
		SELECT n, now() + n * interval '1 second', '', 'c', '', 'T', '', '', '', '', 0, 0 FROM generate_series(1, 10000) AS n;
		ANALYZE tidings_saga; ANALYZE tidings_timer`))
	for _, plan := range postgres.ExplainedStatements {
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			text := explain(ctx, t, db, mode, plan.SQL, plan.Args)
			if !strings.Contains(text, "using "+plan.Index) || strings.Contains(text, "Seq Scan") || strings.Contains(text, "->  Sort") {
				t.Errorf("%s, %s: want an ordered scan of %s, got\n%s", plan.Name, mode, plan.Index, text)
			}
		}
	}
}

// explain returns the plan of a prepared statement.
func explain(ctx context.Context, t *testing.T, db *postgres.DB, mode, query, args string) string {
	t.Helper()
	var lines []string
	check(t, db.Pool().AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		script := fmt.Sprintf("SET plan_cache_mode = %s; PREPARE p AS %s; EXPLAIN EXECUTE p %s; DEALLOCATE p; RESET plan_cache_mode", mode, query, args)
		results, err := conn.Conn().PgConn().Exec(ctx, script).ReadAll()
		for _, r := range results {
			for _, row := range r.Rows {
				lines = append(lines, string(row[0]))
			}
		}
		return err
	}))
	return strings.Join(lines, "\n")
}
