package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"tidings.example"
	"tidings.example/command"
	"tidings.example/internal/servertest"
	"tidings.example/internal/sqlstore"
	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/store/storetest"
)

// fillSagas puts so many sagas that wait, and as many that have ended, into the
// tables, and messages, commands, answers and replies.
const fillSagas = `
INSERT INTO tidings_saga (saga_type, id, version, state, step, error, fingerprint, data, instance, wake_at, started_at, changed_at, ended_at)
SELECT 't', seq, 1, IF(seq %% 2, 'running', 'completed'), '', '', 'f', '{}', '{}', IF(seq %% 2, TIMESTAMPADD(SECOND, seq, UTC_TIMESTAMP(6)), NULL),
	UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), IF(seq %% 2, NULL, UTC_TIMESTAMP(6)) FROM seq_1_to_%[1]d;
INSERT INTO tidings_timer (due_at, source, channel, message_id, message_key, type, subject, content_type, payload, epoch, lane, sequence)
SELECT TIMESTAMPADD(SECOND, seq, UTC_TIMESTAMP(6)), '', 'c', seq, '', 't', '', '', '', '', 0, 0 FROM seq_1_to_%[1]d;
INSERT INTO tidings_command_lock (participant, target, saga_type, saga_id, since) SELECT 'p', seq, 't', seq, UTC_TIMESTAMP(6) FROM seq_1_to_%[1]d;
INSERT INTO tidings_command_aside (participant, target, at, source, channel, message_id, message_key, type, subject, content_type, payload, epoch, lane, sequence)
SELECT 'p', seq, UTC_TIMESTAMP(6), '', 'c', seq, '', 't', '', '', '', '', 0, 0 FROM seq_1_to_%[1]d;
INSERT INTO tidings_command_answer (participant, command_id, at, source, channel, message_id, message_key, type, subject, content_type, payload, epoch, lane, sequence)
SELECT 'p', seq, TIMESTAMPADD(SECOND, seq, UTC_TIMESTAMP(6)), '', 'c', seq, '', 't', '', '', '', '', 0, 0 FROM seq_1_to_%[1]d;
INSERT INTO tidings_reply (command_id, at, source, channel, message_id, message_key, type, subject, content_type, payload, epoch, lane, sequence)
SELECT seq, TIMESTAMPADD(SECOND, seq, UTC_TIMESTAMP(6)), '', 'c', seq, '', 't', '', '', '', '', 0, 0 FROM seq_1_to_%[1]d`

// TestLookupsUseIndexes: with many rows, what runs again and again finds its rows by the
// index that is meant for it, and sorts none.
func TestLookupsUseIndexes(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	if !db.server.mariadb {
		t.Skip("the rows are made with a feature of MariaDB")
	}
	ctx := t.Context()
	if _, err := db.relay.ExecContext(ctx, fmt.Sprintf(fillSagas, 20_000)); err != nil {
		t.Fatal(err)
	}
	for _, l := range db.engine().Lookups() {
		rows, err := db.sql.QueryContext(ctx, "EXPLAIN "+l.Query, l.Args...)
		if err != nil {
			t.Fatalf("%s: %v", l.What, err)
		}
		var table, kind, keys, key, length, ref, extra sql.NullString
		var id, selected any
		var number sql.NullInt64
		found := false
		for rows.Next() {
			if err := rows.Scan(&id, &selected, &table, &kind, &keys, &key, &length, &ref, &number, &extra); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %s by %s, %d rows, %s", l.What, kind.String, key.String, number.Int64, extra.String)
			found = found || key.String == l.Index
			// What a subquery has found is no table.
			if kind.String == "ALL" && !strings.HasPrefix(table.String, "<") {
				t.Errorf("%s reads all of %s", l.What, table.String)
			}
		}
		if !found {
			t.Errorf("%s does not use %s", l.What, l.Index)
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// Handlers count what is read: next to nothing, whatever waits.
	if n := readsOf(ctx, t, db, func(tx *sql.Tx) error {
		due, err := db.Sagas().Due(ctx, tx, time.Now().Add(11*time.Second), 5)
		if len(due) != 5 {
			t.Errorf("%d are due", len(due))
		}
		return err
	}); n > 20 {
		t.Errorf("Due has read %d rows", n)
	}
	if n := readsOf(ctx, t, db, func(tx *sql.Tx) error {
		ms, err := db.Timers().Take(ctx, tx, time.Now().Add(11*time.Second), 5)
		if len(ms) != 5 {
			t.Errorf("%d are due", len(ms))
		}
		return err
	}); n > 40 {
		t.Errorf("Take has read %d rows", n)
	}
}

// readsOf returns how many rows the server has read for fn.
func readsOf(ctx context.Context, t *testing.T, db *DB, fn func(tx *sql.Tx) error) (n int64) {
	t.Helper()
	reads := func(tx *sql.Tx) (sum int64, err error) {
		err = tx.QueryRowContext(ctx, `SELECT SUM(variable_value) FROM information_schema.session_status
			WHERE variable_name LIKE 'HANDLER_READ%' AND variable_name <> 'HANDLER_READ_RND_NEXT'
				OR variable_name = 'HANDLER_READ_RND'`).Scan(&sum)
		return sum, err
	}
	stop := errors.New("stop")
	err := db.inTx(ctx, func(_ context.Context, tx *sql.Tx) error {
		before, err := reads(tx)
		if err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return err
		}
		after, err := reads(tx)
		if err != nil {
			return err
		}
		n = after - before
		return stop
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	return n
}

// TestInsertedWhateverIsCounted: a connection may count the rows that a statement has
// found, and not those that it has changed.
func TestInsertedWhateverIsCounted(t *testing.T) {
	t.Parallel()
	url := servertest.MySQLDatabase(t)
	if err := openURL(t, url).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg := Config{URL: url}
	s, err := cfg.parse()
	if err != nil {
		t.Fatal(err)
	}
	s.driver.ClientFoundRows = true
	connector, err := driver.NewConnector(s.driver)
	if err != nil {
		t.Fatal(err)
	}
	pool := sql.OpenDB(connector)
	t.Cleanup(func() { _ = pool.Close() })
	db, err := New(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for i, want := range []bool{true, false, false} {
		inTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
			got, err := db.Sagas().Insert(ctx, tx, testSaga("a"), nil)
			if got != want {
				t.Errorf("insert %d: %v", i, got)
			}
			return err
		})
	}
	one := command.Saga{Type: "t", ID: "1"}
	target := command.Target{Participant: "p", Name: "x"}
	inTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := db.Commands().Lock(ctx, tx, target, one, time.Now()); err != nil {
			return err
		}
		done, err := db.Commands().Unlock(ctx, tx, target, command.Saga{Type: "t", ID: "2"})
		if done {
			t.Error("unlocked by another")
		}
		return err
	})
}

func testSaga(id string) *saga.Record {
	now := time.Now()
	return &saga.Record{Ref: saga.Ref{Type: "t", ID: id}, State: machine.Running, Fingerprint: "f", Data: []byte(`{}`),
		Instance: []byte(`{}`), Wake: now, Started: now, Changed: now}
}

// TestNoDeadlocks: sixteen at a time start, change and end sagas, work off
// timers, and lock targets; none of them is a deadlock's victim.
func TestNoDeadlocks(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	ctx := t.Context()
	sagas, timers, commands := db.Sagas(), db.Timers(), db.Commands()
	var deadlocks, done atomic.Int64
	try := func(what string, fn func(ctx context.Context, tx *sql.Tx) error) {
		err := db.inTx(ctx, fn)
		switch {
		case code(err) == codeDeadlock:
			deadlocks.Add(1)
			t.Logf("%s: %v", what, err)
		case err != nil && !errors.Is(err, saga.ErrConflict):
			t.Errorf("%s: %v", what, err)
		default:
			done.Add(1)
		}
	}
	due := func(ctx context.Context, tx *sql.Tx) error {
		rs, err := sagas.Due(ctx, tx, time.Now(), 5)
		for i := range rs {
			if err == nil {
				rs[i].Wake = time.Now().Add(time.Duration(i%2) * time.Hour)
				err = sagas.Save(ctx, tx, &rs[i], []machine.Entry{{Number: int(rs[i].Version) + 1, At: time.Now(), What: machine.OccurredBegin}})
			}
		}
		return err
	}
	change := func(id string) func(ctx context.Context, tx *sql.Tx) error {
		return func(ctx context.Context, tx *sql.Tx) error {
			r, err := sagas.Load(ctx, tx, saga.Ref{Type: "t", ID: id})
			if err != nil || r == nil {
				return err
			}
			r.State, r.Wake, r.Ended = machine.Completed, time.Time{}, time.Now()
			return sagas.Save(ctx, tx, r, []machine.Entry{{Number: int(r.Version) + 1, At: time.Now(), What: machine.OccurredEnd}})
		}
	}
	handle := func(target command.Target, owner command.Saga) func(ctx context.Context, tx *sql.Tx) error {
		return func(ctx context.Context, tx *sql.Tx) error {
			l, err := commands.Lock(ctx, tx, target, owner, time.Now())
			switch {
			case err != nil:
				return err
			case l.Owner != owner:
				m := message("k")
				m.ID, m.Time, m.ContentType = tidings.NewID(), time.Now(), "text/plain"
				return commands.SetAside(ctx, tx, target, &m, time.Now())
			}
			if _, err := commands.Unlock(ctx, tx, target, owner); err != nil {
				return err
			}
			a, err := commands.FirstAside(ctx, tx, target)
			if err != nil || a == nil {
				return err
			}
			return commands.RemoveAside(ctx, tx, a.ID)
		}
	}
	var wait sync.WaitGroup
	for worker := range 16 {
		wait.Go(func() {
			for n := range 60 {
				id := fmt.Sprintf("%d-%d", worker, n)
				try("start", func(ctx context.Context, tx *sql.Tx) error {
					_, err := sagas.Insert(ctx, tx, testSaga(id), []machine.Entry{{Number: 1, At: time.Now(), What: machine.OccurredStart}})
					m := message("k")
					m.ID, m.Time, m.ContentType = id, time.Now(), "text/plain"
					return errors.Join(err, timers.Delay(ctx, tx, time.Now(), []tidings.Message{m}))
				})
				try("start again", func(ctx context.Context, tx *sql.Tx) error {
					_, err := sagas.Insert(ctx, tx, testSaga(fmt.Sprintf("%d-%d", rand.IntN(16), n)), nil)
					return err
				})
				try("due", due)
				try("change", change(fmt.Sprintf("%d-%d", rand.IntN(16), n)))
				try("take", func(ctx context.Context, tx *sql.Tx) error {
					_, err := timers.Take(ctx, tx, time.Now(), 3)
					return err
				})
				try("cancel", func(ctx context.Context, tx *sql.Tx) error {
					_, err := timers.Cancel(ctx, tx, fmt.Sprintf("%d-%d", rand.IntN(16), rand.IntN(n+1)))
					return err
				})
				target := command.Target{Participant: "p", Name: fmt.Sprint(rand.IntN(3))}
				owner := command.Saga{Type: "t", ID: id}
				if n%3 == 0 {
					owner = command.Saga{}
				}
				try("command", handle(target, owner))
			}
		})
	}
	wait.Wait()
	t.Logf("%d transactions, %d deadlocks", done.Load(), deadlocks.Load())
	if n := deadlocks.Load(); n > 0 {
		t.Errorf("%d of %d transactions were victims of deadlocks", n, done.Load()+n)
	}
}

// TestFreeLocksAreForgotten: the row of a free lock stays for a while, and that of
// one that is held for as long as that.
func TestFreeLocksAreForgotten(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	commands := db.Commands()
	one := command.Saga{Type: "t", ID: "1"}
	target := func(name string) command.Target { return command.Target{Participant: "p", Name: name} }
	lock := func(name string, owner command.Saga) {
		inTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
			_, err := commands.Lock(ctx, tx, target(name), owner, time.Now())
			return err
		})
	}
	for i := range 25 {
		lock(fmt.Sprint("looked at ", i), command.Saga{})
		lock(fmt.Sprint("released ", i), one)
		inTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
			done, err := commands.Unlock(ctx, tx, target(fmt.Sprint("released ", i)), one)
			if !done {
				t.Error("not unlocked")
			}
			return err
		})
	}
	lock("held", one)
	rows := func() (n int) {
		t.Helper()
		if err := db.sql.QueryRow("SELECT COUNT(*) FROM tidings_command_lock").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, step := range []struct {
		in   time.Duration
		want int
	}{{0, 51}, {2 * time.Minute, 1}} {
		later := db.engine()
		later.Now = func() time.Time { return time.Now().Add(step.in) }
		if n, err := sqlstore.NewCommands(later).Forget(t.Context(), "p", time.Now(), 7); err != nil || n != 0 {
			t.Errorf("forget: %d, %v", n, err)
		}
		if got := rows(); got != step.want {
			t.Errorf("in %s %d rows are left, want %d", step.in, got, step.want)
		}
	}
}

func BenchmarkSagas(b *testing.B) { storetest.BenchSagas(b, subject(newDB(b)), 100_000) }
