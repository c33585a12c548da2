package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "path is empty"},
		{Config{Path: ":memory:"}, "in memory"},
		{Config{URL: "postgres://x/y"}, `scheme is "postgres"`},
		{Config{URL: "sqlite://host/x.db"}, "host"},
		{Config{URL: "sqlite:x.db?sync=full"}, `parameter "sync" is unknown`},
		{Config{URL: "sqlite:x.db?busy_timeout=soon"}, "busy_timeout"},
		{Config{Path: "x.db", URL: "sqlite:x.db"}, "both"},
		{Config{Path: "x.db", Synchronous: "off"}, "synchronous"},
		{Config{Path: filepath.Join(dir, "none", "x.db")}, "does not exist: create it"},
		{Config{Path: dir}, "is a directory"},
		{Config{Path: text}, "not a SQLite database"},
	} {
		db, err := Open(context.Background(), test.cfg)
		if err == nil {
			_ = db.Close()
			t.Errorf("%+v: opened, want an error with %q", test.cfg, test.want)
			continue
		}
		if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %q, want one line with %q", test.cfg, err, test.want)
		}
	}
}

func TestOpenWithSpecialCharacters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c%41#d.db")
	db, err := Open(context.Background(), Config{Path: path, Synchronous: "full"})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(context.Background()); err != nil {
		t.Error(err)
	}
	var level int
	if err := db.SQL().QueryRow("PRAGMA synchronous").Scan(&level); err != nil || level != 2 {
		t.Errorf("synchronous is %d, %v; want 2", level, err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("the file is not where it should be: %v", err)
	}
}

func TestReadySaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db, err := Open(ctx, Config{Path: filepath.Join(t.TempDir(), "test.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Ready(ctx); err == nil || !strings.Contains(err.Error(), "tables of Tidings are missing") {
		t.Errorf("Ready of an empty database: %v", err)
	}
	_, _, err = db.Relay("test").Acquire(ctx, "a", 1e9)
	if err == nil || !strings.Contains(err.Error(), "tables of Tidings are missing") {
		t.Errorf("Acquire in an empty database: %v", err)
	}
	if err := db.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	if err := db.Ready(ctx); err != nil {
		t.Errorf("Ready after Migrate: %v", err)
	}
}

func TestMigrateBySeveralAtOnce(t *testing.T) {
	t.Parallel()
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "test.db")
	errs := make(chan error)
	const n = 4
	for range n {
		go func() {
			db, err := Open(ctx, Config{Path: path})
			if err == nil {
				err = db.Migrate(ctx)
				_ = db.Close()
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
