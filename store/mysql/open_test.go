package mysql

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"tidings.example/internal/servertest"
)

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := servertest.MySQLDatabase(t)
	wrongPassword := strings.Replace(good, "tidings@", "s3cret@", 1)
	for _, test := range []struct{ url, want string }{
		{"", "URL is empty"},
		{"postgres://x/y", `scheme is "postgres"`},
		{"mysql://u:s3cret@h:x/db", "percent-encode"},
		{"mysql://u:s3cret@/db", "no host"},
		{"mysql://u:s3cret@h", "does not name one database"},
		{"mysql://u:s3cret@h/db?parseTime=true", `parameter "parseTime" is unknown`},
		{"mysql://u:s3cret@h/db?tls=maybe", "tls"},
		{"mysql://u:s3cret@h/db?tls=true&tls-ca=/nowhere", "tls-ca"},
		{"mysql://u:s3cret@h/db?timeout=x", "timeout"},
		{"mysql://u:s3cret@127.0.0.1:1/db", "cannot reach the server"},
		{wrongPassword, "user or password is wrong"},
		{good + "_none", "create the database first"},
		{good + "?tls=true", "tls="},
	} {
		db, err := Open(context.Background(), Config{URL: test.url})
		if err == nil {
			_ = db.Close()
			t.Errorf("%s: opened, want an error with %q", test.url, test.want)
			continue
		}
		if text := err.Error(); !strings.Contains(text, test.want) || strings.Contains(text, "\n") || strings.Contains(text, "s3cret") {
			t.Errorf("%s: %q, want one line with %q and no password", test.url, text, test.want)
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"8.0.13": "", "8.4.2": "", "9.1.0-commercial": "", "5.7.44-log": "8.0.13 or later", "8.0.11": "8.0.13 or later",
		"10.11.6-MariaDB-1": "", "5.5.5-10.6.1-MariaDB": "", "10.5.9-MariaDB": "10.6 or later", "strange": "cannot be read",
	} {
		s := server{version: version, mariadb: strings.Contains(version, "MariaDB")}
		err := s.checkVersion()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", version, err, want)
		}
	}
}

func TestReadySaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openURL(t, servertest.MySQLDatabase(t))
	if err := db.Ready(ctx); err == nil || !strings.Contains(err.Error(), "tables of Tidings are missing") {
		t.Errorf("Ready of an empty database: %v", err)
	}
	_, _, err := db.Relay("test").Acquire(ctx, "a", 1e9)
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
	ctx, url := context.Background(), servertest.MySQLDatabase(t)
	errs := make(chan error)
	const n = 4
	for range n {
		go func() {
			db, err := Open(ctx, Config{URL: url})
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

func TestPrintedMigrationsWork(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openURL(t, servertest.MySQLDatabase(t))
	text, err := db.Admin().MigrationSQL()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.relay.ExecContext(ctx, text); err != nil { // the pool for several statements
		t.Fatal(err)
	}
	if err := db.Ready(ctx); err != nil {
		t.Error(err)
	}
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	for _, f := range db.Admin().Doctor(context.Background()) {
		t.Logf("%s: %s %s %s", f.Name, f.Status, f.Detail, f.Advice)
		if f.Status == "fail" {
			t.Errorf("%s fails: %s", f.Name, f.Detail)
		}
	}
}

func TestNewNeedsDates(t *testing.T) {
	t.Parallel()
	cfg := Config{URL: servertest.MySQLDatabase(t)}
	s, err := cfg.parse()
	if err != nil {
		t.Fatal(err)
	}
	s.driver.ParseTime = false
	pool, err := sql.Open("mysql", s.driver.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	if _, err := New(t.Context(), pool); err == nil || !strings.Contains(err.Error(), "parseTime=true") {
		t.Errorf("New without parseTime: %v", err)
	}
}
