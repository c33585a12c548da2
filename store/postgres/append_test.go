package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings.example"
	"tidings.example/internal/servertest"
	"tidings.example/relay"
	"tidings.example/store/postgres"
)

// slot makes a replication slot that decodes the log to text, and returns a
// function for what was committed since.
func slot(t *testing.T, db *postgres.DB) func() []string {
	t.Helper()
	name := servertest.Name("append")
	if err := exec(t.Context(), db, fmt.Sprintf("SELECT pg_create_logical_replication_slot('%s', 'test_decoding')", name)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // before the database is dropped
		if err := exec(context.Background(), db, fmt.Sprintf("SELECT pg_drop_replication_slot('%s')", name)); err != nil {
			t.Error(err)
		}
	})
	return func() []string {
		t.Helper()
		rows, err := db.Pool().Query(t.Context(), `SELECT data FROM pg_logical_slot_get_changes($1, NULL, NULL)`, name)
		if err != nil {
			t.Fatal(err)
		}
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
}

// logDatabase is a database of its own whose outbox is read from the log.
func logDatabase(t *testing.T) (string, *postgres.DB) {
	t.Helper()
	url := servertest.PostgresDatabase(t)
	db := open(t, url)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	readFromLog(t, db)
	return url, db
}

func withParam(url, param string) string {
	if strings.Contains(url, "?") {
		return url + "&" + param
	}
	return url + "?" + param
}

// TestAppendsPastTheTable: what is committed is in the log in its order, what is
// rolled back is not, and nothing is in a table.
func TestAppendsPastTheTable(t *testing.T) {
	t.Parallel()
	url, db := logDatabase(t)
	for _, way := range []postgres.Append{postgres.AppendAndDelete, postgres.AppendToLog} {
		with := open(t, withParam(url, "append="+string(way)))
		changes := slot(t, db)
		messages := func(keys ...string) (ms []tidings.Message) {
			for _, key := range keys {
				m := msg("key-" + key)
				m.Headers = tidings.Headers{"tenant": "x"}
				ms = append(ms, m)
			}
			return ms
		}
		pgxTx := func(commit bool, keys ...[]string) {
			t.Helper()
			tx, err := with.Pool().Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(context.Background()) }()
			for _, k := range keys {
				if err := with.Outbox().Append(t.Context(), tx, messages(k...)...); err != nil {
					t.Fatal(err)
				}
			}
			if !commit {
				return
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		sqlTx := func(commit bool, keys ...[]string) {
			t.Helper()
			tx, err := with.SQL().BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback() }()
			for _, k := range keys {
				if err := with.OutboxSQL().Append(t.Context(), tx, messages(k...)...); err != nil {
					t.Fatal(err)
				}
			}
			if !commit {
				return
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		pgxTx(true, []string{"a"}, []string{"b", "c", "d"}, []string{"e"})
		pgxTx(false, []string{"no"}, []string{"no", "no"})
		sqlTx(true, []string{"f"}, []string{"g", "h"})
		sqlTx(false, []string{"no"})
		// A savepoint that is rolled back takes its messages with it.
		err := pgx.BeginFunc(t.Context(), with.Pool(), func(tx pgx.Tx) error {
			inner, err := tx.Begin(t.Context())
			if err != nil {
				return err
			}
			if err := with.Outbox().Append(t.Context(), inner, messages("no")...); err != nil {
				return err
			}
			if err := inner.Rollback(t.Context()); err != nil {
				return err
			}
			return with.Outbox().Append(t.Context(), tx, messages("i")...)
		})
		if err != nil {
			t.Fatal(err)
		}

		var inserted, deleted int
		var keys strings.Builder
		for _, change := range changes() {
			if strings.Contains(change, "DELETE") {
				deleted++
				continue
			}
			if _, after, ok := strings.Cut(change, "key-"); ok {
				inserted++
				keys.WriteString(after[:strings.IndexAny(after, `'"`)])
				if !strings.Contains(change, "tenant") || !strings.Contains(change, "orders") {
					t.Errorf("%s: %s", way, change)
				}
			}
		}
		if got := keys.String(); got != "abcdefghi" {
			t.Errorf("%s: the log has the keys %q, want a to i in their order", way, got)
		}
		if way == postgres.AppendAndDelete && deleted != inserted {
			t.Errorf("%d rows were inserted and %d deleted", inserted, deleted)
		}
		for _, table := range []string{"tidings_outbox", "tidings_outbox_log"} {
			if n := one[int](t, db, "SELECT count(*) FROM "+table); n != 0 {
				t.Errorf("%s: %d rows are in %s", way, n, table)
			}
		}
	}
}

// TestAppendAndDeleteBesideOthers: rows of other transactions lie between those of one.
func TestAppendAndDeleteBesideOthers(t *testing.T) {
	t.Parallel()
	url, db := logDatabase(t)
	with := open(t, withParam(url, "append=delete"))
	failed := make(chan error, 8)
	for range cap(failed) {
		go func() {
			var err error
			for range 20 {
				err = pgx.BeginFunc(t.Context(), with.Pool(), func(tx pgx.Tx) error {
					for range 3 {
						if err := with.Outbox().Append(t.Context(), tx, msg("a"), msg("b"), msg("c")); err != nil {
							return err
						}
						if err := with.Outbox().Append(t.Context(), tx, msg("d")); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					break
				}
			}
			failed <- err
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if n := one[int](t, db, "SELECT count(*) FROM tidings_outbox_log"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// TestAppendsPastTheTableAreRefused where nobody would read them.
func TestAppendsPastTheTableAreRefused(t *testing.T) {
	t.Parallel()
	url := servertest.PostgresSchema(t)
	refused := func(want, param string) {
		t.Helper()
		db, err := postgres.Open(t.Context(), postgres.Config{URL: withParam(url, param)})
		if err == nil {
			_ = db.Close()
			t.Fatalf("%s is taken", param)
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want it to say %q", param, err, want)
		}
	}
	refused("append is \"fast\"", "append=fast")
	refused("migrat", "append=log")
	db := open(t, url)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, way := range []string{"log", "delete"} {
		refused("relay switch --to log", "append="+way)
		if _, err := postgres.OnPool(t.Context(), db.Pool(), postgres.Config{Append: postgres.Append(way)}); err == nil {
			t.Errorf("%s is taken with a pool", way)
		}
	}
	open(t, withParam(url, "append=table"))
	s := readFromLog(t, db)
	past := open(t, withParam(url, "append=log"))
	if _, err := postgres.Open(t.Context(), postgres.Config{URL: withParam(url, "append=log"), Append: postgres.AppendAndDelete}); err == nil {
		t.Error("two ways at once are taken")
	}
	if err := s.Commit(t.Context(), relay.Change{Reading: relay.FromTable}); err != nil {
		t.Fatal(err)
	}
	refused("relay switch --to log", "append=log")
	// What is open already notices the switch within a second.
	for begun := time.Now(); ; {
		tx, err := past.Pool().Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = past.Outbox().Append(t.Context(), tx, tidings.Message{Channel: "orders", Type: "T", Payload: []byte("{}")})
		_ = tx.Rollback(t.Context())
		if err != nil && strings.Contains(err.Error(), "append=table") {
			break
		}
		if err != nil || time.Since(begun) > 2*time.Second {
			t.Fatalf("after a switch to the table an append returns %v", err)
		}
	}
}

// TestPassingRowsAreTruncated: rows that were inserted and deleted take no space,
// though an old transaction keeps them from being vacuumed.
func TestPassingRowsAreTruncated(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	readFromLog(t, db)
	if err := exec(t.Context(), db, "ALTER SEQUENCE tidings_outbox_log_positions INCREMENT 64"); err != nil {
		t.Fatal(err)
	}
	with, err := postgres.OnPool(t.Context(), db.Pool(), postgres.Config{Append: postgres.AppendAndDelete})
	if err != nil {
		t.Fatal(err)
	}
	old, err := db.Pool().BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Rollback(context.Background()) }()
	if _, err := old.Exec(t.Context(), `SELECT txid_current(), count(*) FROM tidings_audit`); err != nil {
		t.Fatal(err)
	}
	ms := make([]tidings.Message, 256)
	for i := range ms {
		ms[i] = msg("k")
		ms[i].Payload = make([]byte, 1000)
	}
	var largest, total int64
	for range 40 { // 10 slabs of 1,024 rows
		err := pgx.BeginFunc(t.Context(), db.Pool(), func(tx pgx.Tx) error { return with.Outbox().Append(t.Context(), tx, ms...) })
		if err != nil {
			t.Fatal(err)
		}
		if err := db.RemovePublished(t.Context(), relay.PositionSet{}); err != nil {
			t.Fatal(err)
		}
		largest = max(largest, outboxSize(t, db, "tidings_outbox_log"))
		total += int64(len(ms) * 1000)
	}
	if largest > total/2 {
		t.Errorf("the table took %d bytes of the %d that went through it", largest, total)
	}
}

// TestAppendSQLOnAnotherPool: transactions of database/sql that are not of DB.SQL.
func TestAppendSQLOnAnotherPool(t *testing.T) {
	t.Parallel()
	url, db := logDatabase(t)
	for _, way := range []string{"delete", "log"} {
		with := open(t, withParam(url, "append="+way))
		other, err := sql.Open("pgx", url)
		if err != nil {
			t.Fatal(err)
		}
		changes := slot(t, db)
		tx, err := other.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := with.OutboxSQL().Append(t.Context(), tx, msg("key-a"), msg("key-b")); err != nil {
			t.Fatal(err)
		}
		if err := with.OutboxSQL().Append(t.Context(), tx, msg("key-c")); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		if all := strings.Join(changes(), "\n"); strings.Count(all, "key-") != 3 {
			t.Errorf("%s: the log has\n%s", way, all)
		}
	}
}
