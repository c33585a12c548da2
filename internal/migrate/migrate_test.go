package migrate

import (
	"context"
	"database/sql"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	_ "modernc.org/sqlite"
)

func open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func set(extra ...string) *Set {
	files := fstest.MapFS{
		"00001_first.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (id INTEGER); -- one\nCREATE TABLE b (id INTEGER);\n-- +goose Down\nDROP TABLE a;\n")},
	}
	for i, text := range extra {
		files["0000"+string(rune('2'+i))+"_more.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + text)}
	}
	return &Set{Dialect: SQLite, Files: files}
}

func TestUpAppliesWhatIsMissing(t *testing.T) {
	t.Parallel()
	ctx, db := context.Background(), open(t)
	before, err := set().List(ctx, db)
	if err != nil || len(before) != 1 || !before[0].AppliedAt.IsZero() {
		t.Fatalf("List of an empty database: %+v, %v", before, err)
	}
	applied, err := set().Up(ctx, db)
	if err != nil || len(applied) != 1 || applied[0].Name != "first" || applied[0].AppliedAt.IsZero() {
		t.Fatalf("Up: %+v, %v", applied, err)
	}
	if applied, err = set().Up(ctx, db); err != nil || len(applied) != 0 {
		t.Fatalf("Up again: %+v, %v", applied, err)
	}
	more := set("CREATE TABLE c (id INTEGER);")
	if pending, err := more.Pending(ctx, db); err != nil || !slices.Equal(pending, []string{"00002_more"}) {
		t.Fatalf("Pending: %v, %v", pending, err)
	}
	if applied, err = more.Up(ctx, db); err != nil || len(applied) != 1 || applied[0].Version != 2 {
		t.Fatalf("Up with one more: %+v, %v", applied, err)
	}
}

func TestUpSaysWhichMigrationFails(t *testing.T) {
	t.Parallel()
	ctx, db := context.Background(), open(t)
	applied, err := set("CREATE TABLE c (id INTEGER);", "CREATE NONSENSE;").Up(ctx, db)
	if err == nil || !strings.Contains(err.Error(), "00003_more.sql") {
		t.Errorf("Up: %v; want an error naming 00003_more.sql", err)
	}
	if len(applied) != 2 {
		t.Errorf("Up returned %d applied migrations, want the 2 before the failure", len(applied))
	}
}

func TestPrintedSQLCountsAsApplied(t *testing.T) {
	t.Parallel()
	ctx, db := context.Background(), open(t)
	s := set("CREATE TABLE c (id INTEGER);")
	text, err := s.SQL()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "DROP") || strings.Contains(text, "+goose") {
		t.Errorf("the text has more than what goes up:\n%s", text)
	}
	if _, err := db.ExecContext(ctx, text); err != nil {
		t.Fatalf("run the printed SQL: %v\n%s", err, text)
	}
	if pending, err := s.Pending(ctx, db); err != nil || len(pending) != 0 {
		t.Errorf("Pending after the printed SQL: %v, %v", pending, err)
	}
	if applied, err := s.Up(ctx, db); err != nil || len(applied) != 0 {
		t.Errorf("Up after the printed SQL: %+v, %v", applied, err)
	}
}

func TestLockIsTakenAndGivenBack(t *testing.T) {
	t.Parallel()
	var calls []string
	s := set()
	s.Lock = func(context.Context, *sql.Conn) error { calls = append(calls, "lock"); return nil }
	s.Unlock = func(context.Context, *sql.Conn) error { calls = append(calls, "unlock"); return nil }
	if _, err := s.Up(context.Background(), open(t)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(calls, []string{"lock", "unlock"}) {
		t.Errorf("calls: %v", calls)
	}
}

func TestBadFileName(t *testing.T) {
	t.Parallel()
	s := &Set{Dialect: SQLite, Files: fstest.MapFS{"1_x.sql": {Data: []byte("-- +goose Up\n")}}}
	if _, err := s.SQL(); err == nil || !strings.Contains(err.Error(), "1_x.sql") {
		t.Errorf("SQL: %v; want an error naming the file", err)
	}
}
