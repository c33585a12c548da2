package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/fstest"

	"tidings.example/examples/shared/sampletest"
	"tidings.example/examples/shared/sqldb"
	"tidings.example/internal/connect"
)

func TestBind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ kind, statement, want, locking string }{
		{"sqlite", "a = ? AND b = ?", "a = ? AND b = ?", "a = ? AND b = ?"},
		{"mysql", "a = ? AND b = ?", "a = ? AND b = ?", "a = ? AND b = ? FOR UPDATE"},
		{"postgres", "a = ? AND b = ?", "a = $1 AND b = $2", "a = $1 AND b = $2 FOR UPDATE"},
		{"postgres", "SELECT 1", "SELECT 1", "SELECT 1 FOR UPDATE"},
	} {
		db := sqldb.DB{Database: &connect.Database{Kind: c.kind}}
		if got := db.Bind(c.statement); got != c.want {
			t.Errorf("%s: Bind(%q) = %q, want %q", c.kind, c.statement, got, c.want)
		}
		if got := db.BindLocking(c.statement); got != c.locking {
			t.Errorf("%s: BindLocking(%q) = %q, want %q", c.kind, c.statement, got, c.locking)
		}
	}
}

var files = fstest.MapFS{"migrations/sqlite/00001_things.sql": {Data: []byte("-- +goose Up\nCREATE TABLE things (n INTEGER PRIMARY KEY);\n")}}

func TestMigrateTwice(t *testing.T) {
	t.Parallel()
	db := sampletest.Database(t, "things", files)
	if err := db.Migrate(t.Context(), "things", files); err != nil {
		t.Errorf("the second time: %v", err)
	}
	if _, err := db.SQL.ExecContext(t.Context(), "INSERT INTO things (n) VALUES (1)"); err != nil {
		t.Error(err)
	}
}

func TestInTx(t *testing.T) {
	t.Parallel()
	db := sampletest.Database(t, "things", files)
	ctx := context.Background()
	wrong := errors.New("wrong")
	insert := func(tx *sql.Tx, n int) error {
		return sqldb.MustChange(tx.ExecContext(ctx, "INSERT INTO things (n) VALUES (?)", n))
	}
	if err := db.InTx(ctx, func(tx *sql.Tx) error { return insert(tx, 1) }); err != nil {
		t.Fatal(err)
	}
	calls := 0
	err := db.InTx(ctx, func(tx *sql.Tx) error {
		calls++
		return errors.Join(insert(tx, 2), wrong)
	})
	if !errors.Is(err, wrong) || calls != 1 {
		t.Errorf("a wrong transaction gave %v after %d calls", err, calls)
	}
	err = db.InTx(ctx, func(tx *sql.Tx) error {
		return sqldb.MustChange(tx.ExecContext(ctx, "UPDATE things SET n = 3 WHERE n = 2"))
	})
	if err == nil {
		t.Error("no row was changed, without an error")
	}
	rows, err := db.SQL.QueryContext(ctx, "SELECT n FROM things")
	if err != nil {
		t.Fatal(err)
	}
	all, err := sqldb.Collect(rows, func() (n int, err error) { return n, rows.Scan(&n) })
	if err != nil || len(all) != 1 || all[0] != 1 {
		t.Errorf("the table holds %v, want [1] (%v)", all, err)
	}
}
