package mysql

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/internal/servertest"
	"tidings.example/relay"
)

// logDB returns a database whose outbox is read from the log, opened with a way
// to append, with tidings_outbox_log of an engine.
func logDB(t testing.TB, url, engine string, way Append) *DB {
	t.Helper()
	plain := openURL(t, url)
	if err := plain.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := plain.sql.Exec("ALTER TABLE tidings_outbox_log ENGINE = " + engine); err != nil {
		t.Fatal(err)
	}
	s, _ := acquire(t, plain, "a")
	follow(t, s, relay.PositionSet{})
	db, err := Open(context.Background(), Config{URL: url, Append: way})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func count(t testing.TB, db *DB, query string) (n int) {
	t.Helper()
	if err := db.sql.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// logged counts the rows that were inserted into tidings_outbox_log by what the
// server's binary log says, since a place.
func logged(t testing.TB, db *DB, since logPlace) (n int) {
	t.Helper()
	rows, err := db.sql.Query("SHOW BINLOG EVENTS IN '" + since.file + "' FROM " + since.at)
	if err != nil {
		t.Fatal(err)
	}
	ours := false
	err = each(rows, func() error {
		var file, kind, info string
		var at, server, end int64
		if err := rows.Scan(&file, &at, &kind, &server, &end, &info); err != nil {
			return err
		}
		switch {
		case kind == "Table_map":
			ours = strings.Contains(info, "("+db.config.DBName+".tidings_outbox_log)")
		case ours && strings.HasPrefix(kind, "Write_rows"):
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A logPlace is where the binary log ends.
type logPlace struct{ file, at string }

func logEnd(t testing.TB, db *DB) (p logPlace) {
	t.Helper()
	var skip any
	if err := db.sql.QueryRow("SHOW MASTER STATUS").Scan(&p.file, &p.at, &skip, &skip); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAppendAndDelete(t *testing.T) {
	t.Parallel()
	db := logDB(t, servertest.MySQLDatabase(t), "InnoDB", AppendAndDelete)
	testAppending(t, db)
}

func TestAppendToLog(t *testing.T) {
	t.Parallel()
	db := logDB(t, blackholeDatabase(t), "BLACKHOLE", AppendToLog)
	testAppending(t, db)
}

// Nothing is left in a table, and the log has what was committed: a statement
// for each Append, and nothing of what was rolled back.
func testAppending(t *testing.T, db *DB) {
	ctx := context.Background()
	since := logEnd(t, db)
	appendAll(t, db, message("a"))
	appendAll(t, db, message("b"), message("c"), message("d"))
	tx, err := db.sql.Begin()
	if err == nil {
		err = db.Outbox().Append(ctx, tx, message("never"))
	}
	if err == nil {
		err = tx.Rollback()
	}
	if err != nil {
		t.Fatal(err)
	}
	inTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
		if err := db.Outbox().Append(ctx, tx, message("e")); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "SAVEPOINT s"); err != nil {
			return err
		}
		if err := db.Outbox().Append(ctx, tx, message("never")); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT s")
		return err
	})
	if n := count(t, db, "SELECT COUNT(*) FROM tidings_outbox_log") + count(t, db, "SELECT COUNT(*) FROM tidings_outbox"); n != 0 {
		t.Errorf("%d rows are left in the tables", n)
	}
	if n := logged(t, db, since); n != 3 {
		t.Errorf("the log has %d events of inserted rows, want 3", n)
	}
}

// More rows than one statement takes, while others insert into the same table.
func TestAppendAndDeleteMany(t *testing.T) {
	t.Parallel()
	db := logDB(t, servertest.MySQLDatabase(t), "InnoDB", AppendAndDelete)
	errs := make(chan error)
	const writers = 4
	for range writers {
		go func() {
			ms := many(insertRows + 7)
			errs <- func() error {
				tx, err := db.sql.Begin()
				if err != nil {
					return err
				}
				if err := db.Outbox().Append(context.Background(), tx, ms...); err != nil {
					return errors.Join(err, tx.Rollback())
				}
				return tx.Commit()
			}()
		}()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := count(t, db, "SELECT COUNT(*) FROM tidings_outbox_log"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

func TestOpenRefusesToAppendPastTheTable(t *testing.T) {
	t.Parallel()
	ctx, url := context.Background(), servertest.MySQLDatabase(t)
	refused := func(want string, way Append) {
		t.Helper()
		db, err := Open(ctx, Config{URL: url, Append: way})
		if err == nil {
			_ = db.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Open with append=%s: %v, want one line with %q", way, err, want)
		}
	}
	refused(`append is "never": use table, delete or log`, "never")
	refused("run the migrations", AppendAndDelete)
	db := openURL(t, url)
	if err := db.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := db.sql.Exec("ALTER TABLE tidings_outbox_log ENGINE = InnoDB"); err != nil {
		t.Fatal(err)
	}
	refused("to be read from the binary log", AppendAndDelete)
	refused("to be read from the binary log", AppendToLog)
	s, _ := acquire(t, db, "a")
	follow(t, s, relay.PositionSet{})
	refused("INSTALL SONAME", AppendToLog)
	past := openURL(t, url+"?append=delete") // which is what it is for
	appendAll(t, past, message("a"))
	if err := db.Admin().AskReading(ctx, "table", false, because("back")); err != nil {
		t.Fatal(err)
	}
	refused("to be read from the binary log", AppendAndDelete)
	// What is open already notices the switch within a second.
	if err := s.Commit(ctx, relay.Change{Reading: relay.FromTable}); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); ; {
		tx, err := past.sql.Begin()
		if err != nil {
			t.Fatal(err)
		}
		err = past.Outbox().Append(ctx, tx, message("b"))
		_ = tx.Rollback()
		if err != nil && strings.Contains(err.Error(), "append=table") {
			break
		}
		if err != nil || time.Since(begun) > 2*readCheck {
			t.Fatalf("after a switch to the table an append returns %v", err)
		}
	}
}

func because(reason string) admin.Action { return admin.Action{Actor: "ada", Reason: reason} }

func many(n int) []tidings.Message {
	ms := make([]tidings.Message, n)
	for i := range ms {
		ms[i] = message("k")
	}
	return ms
}

// blackholeDatabase returns a database on a server of the test's own that has
// the engine.
func blackholeDatabase(t testing.TB) string {
	t.Helper()
	root := servertest.Private(t, "mariadb").URL("mariadb")
	db := openURL(t, root+"mysql")
	if _, err := db.sql.Exec("INSTALL SONAME 'ha_blackhole'"); err != nil {
		t.Skipf("the server has no BLACKHOLE engine to install: %v", err)
	}
	if _, err := db.sql.Exec("CREATE DATABASE tailed CHARACTER SET utf8mb4"); err != nil {
		t.Fatal(err)
	}
	return root + "tailed"
}

// A new database gets the engine by itself, and the doctor is content with it.
func TestMigrateWithBlackhole(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openURL(t, blackholeDatabase(t))
	if err := db.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	var engine string
	if err := db.sql.QueryRow(engineSQL).Scan(&engine, new(int)); err != nil || engine != "BLACKHOLE" {
		t.Errorf("tidings_outbox_log is %s: %v", engine, err)
	}
	for _, f := range db.Admin().Doctor(ctx) {
		if f.Status == admin.Fail {
			t.Errorf("%s fails: %s", f.Name, f.Detail)
		}
	}
}
