package postgres_test

import (
	"database/sql"
	"strings"
	"testing"

	"tidings.example"
	"tidings.example/store/postgres"
)

// sqlTx runs fn in a transaction and returns the error of its commit.
func sqlTx(t *testing.T, db *postgres.DB, fn func(tx *sql.Tx, add func(keys ...string))) error {
	t.Helper()
	tx, err := db.SQL().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	fn(tx, func(keys ...string) {
		t.Helper()
		ms := make([]tidings.Message, len(keys))
		for i, key := range keys {
			ms[i] = msg(key)
		}
		if err := db.OutboxSQL().Append(t.Context(), tx, ms...); err != nil {
			t.Fatal(err)
		}
	})
	return tx.Commit()
}

// keys returns the keys in the outbox, in order.
func keys(t *testing.T, q interface {
	QueryRow(query string, args ...any) *sql.Row
}) string {
	t.Helper()
	var all string
	if err := q.QueryRow(`SELECT COALESCE(string_agg(message_key, ' ' ORDER BY position), '') FROM tidings_outbox`).Scan(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

func do(t *testing.T, tx *sql.Tx, query string) {
	t.Helper()
	if _, err := tx.Exec(query); err != nil {
		t.Fatal(err)
	}
}

// TestAppendsStandWhereTheyWereMade: appends are sent later, and nothing may
// show it.
func TestAppendsStandWhereTheyWereMade(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		run  func(tx *sql.Tx, add func(keys ...string))
		want string
	}{
		{"commit", func(_ *sql.Tx, add func(...string)) { add("a"); add("b", "c"); add("d") }, "a b c d"},
		{"seen by a query", func(tx *sql.Tx, add func(...string)) {
			add("a")
			if got := keys(t, tx); got != "a" {
				t.Errorf("the transaction sees %q", got)
			}
			add("b")
		}, "a b"},
		{"seen by a prepared statement", func(tx *sql.Tx, add func(...string)) {
			s, err := tx.Prepare(`UPDATE tidings_outbox SET message_key = 'changed' WHERE message_key = $1`)
			if err != nil {
				t.Fatal(err)
			}
			add("a", "b")
			if _, err := s.Exec("a"); err != nil {
				t.Error(err)
			}
		}, "changed b"},
		{"changed by a statement with parameters", func(tx *sql.Tx, add func(...string)) {
			add("a", "b")
			result, err := tx.Exec(`DELETE FROM tidings_outbox WHERE message_key = $1`, "b")
			if err != nil {
				t.Fatal(err)
			}
			if n, err := result.RowsAffected(); n != 1 || err != nil {
				t.Errorf("%d rows affected, %v", n, err)
			}
			add("c")
		}, "a c"},
		{"savepoints", func(tx *sql.Tx, add func(...string)) {
			add("before")
			do(t, tx, "SAVEPOINT one")
			add("undone")
			do(t, tx, "ROLLBACK TO one")
			add("after")
		}, "before after"},
		{"caught errors", func(tx *sql.Tx, add func(...string)) {
			do(t, tx, "SAVEPOINT one")
			add("kept back")
			if _, err := tx.Exec("SELECT 1 / $1::int", 0); err == nil || strings.Contains(err.Error(), "outbox") {
				t.Errorf("division by zero: %v", err)
			}
			do(t, tx, "ROLLBACK TO one")
			add("after")
		}, "after"},
		{"much", func(_ *sql.Tx, add func(...string)) {
			for range 30 {
				add("a")
			}
		}, strings.TrimSpace(strings.Repeat("a ", 30))},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			db := migrated(t)
			if err := sqlTx(t, db, c.run); err != nil {
				t.Fatal(err)
			}
			if got := keys(t, db.SQL()); got != c.want {
				t.Errorf("the outbox holds %q, want %q", got, c.want)
			}
		})
	}
}

func TestAppendKeptBackIsRolledBack(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	db.SQL().SetMaxOpenConns(1) // the same connection again
	tx, err := db.SQL().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.OutboxSQL().Append(t.Context(), tx, msg("undone")); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := sqlTx(t, db, func(_ *sql.Tx, add func(...string)) { add("a") }); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, db.SQL()); got != "a" {
		t.Errorf("the outbox holds %q", got)
	}
}

// TestCommitReturnsTheAppendsError, and commits nothing.
func TestCommitReturnsTheAppendsError(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	if err := exec(t.Context(), db, "CREATE TABLE things (id bigint); ALTER TABLE tidings_outbox ADD CHECK (message_key <> 'bad')"); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []func(tx *sql.Tx, add func(...string)) error{
		func(_ *sql.Tx, add func(...string)) error { add("a"); add("bad"); return nil },
		func(tx *sql.Tx, add func(...string)) error {
			add("bad")
			_, err := tx.Exec("INSERT INTO things VALUES ($1)", 2)
			return err
		},
		func(tx *sql.Tx, add func(...string)) error {
			add("bad")
			return tx.QueryRow("SELECT 1").Scan(new(int))
		},
	} {
		var early error
		err := sqlTx(t, db, func(tx *sql.Tx, add func(...string)) {
			do(t, tx, "INSERT INTO things VALUES (1)")
			early = bad(tx, add)
		})
		if early == nil {
			early = err
		}
		if err == nil || early == nil || !strings.Contains(early.Error(), "append to outbox") || !strings.Contains(early.Error(), "check constraint") {
			t.Errorf("the statement behind the append says %v, the commit %v", early, err)
		}
	}
	var things int
	if err := db.SQL().QueryRow("SELECT count(*) FROM things").Scan(&things); err != nil || things != 0 || keys(t, db.SQL()) != "" {
		t.Errorf("%d things and the keys %q were committed, %v", things, keys(t, db.SQL()), err)
	}
}

func TestPayloadMayChangeAfterAppend(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	buffer := []byte("before")
	err := sqlTx(t, db, func(tx *sql.Tx, _ func(...string)) {
		for range 2 { // one alone, and several at once
			m, n := msg("k"), msg("k")
			m.Payload, n.Payload = buffer, buffer
			if err := db.OutboxSQL().Append(t.Context(), tx, m); err != nil {
				t.Fatal(err)
			}
			if err := db.OutboxSQL().Append(t.Context(), tx, m, n); err != nil {
				t.Fatal(err)
			}
		}
		copy(buffer, "after!")
	})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.SQL().QueryRow("SELECT count(*) FROM tidings_outbox WHERE payload = 'before'").Scan(&n); err != nil || n != 6 {
		t.Errorf("%d of 6 payloads are as they were, %v", n, err)
	}
}
