package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
)

type captureListJSON struct {
	Captures []captureJSON `json:"captures"`
}

func TestCapture(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, url string) {
		invoke(t, "capture", "list", "--store-url", url).fails(t, exitFailed, "tidings migrate up")
		mustRun(t, "migrate", "up", "--store-url", url)
		db := openURL(t, url)
		if _, err := db.SQL.ExecContext(t.Context(), `CREATE TABLE customers (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(20), secret VARCHAR(20))`); err != nil {
			t.Fatal(err)
		}
		if out := mustRun(t, "capture", "list", "--store-url", url); !strings.Contains(out, "No changes are captured.") {
			t.Errorf("nothing captured is:\n%s", out)
		}
		flags := []string{"--store-url", url, "--table", "customers", "--channel", "customers.changes", "--except", "secret"}
		command := func(name string, more ...string) []string {
			return append(append([]string{"capture", name}, flags...), more...)
		}
		invoke(t, command("install")...).fails(t, exitUsage, "--reason")
		invoke(t, command("install", "--reason", "x", "--columns", "id")...).fails(t, exitUsage, "together")
		invoke(t, command("install", "--reason", "x", "--table", "absent")...).fails(t, exitNegative, "absent")
		invoke(t, "capture", "show", "--store-url", url, "--table", "customers").fails(t, exitNegative, "customers")
		invoke(t, "capture", "remove", "--store-url", url, "--table", "customers", "--reason", "x").fails(t, exitNegative, "customers")

		if out := mustRun(t, command("install", "--reason", "test")...); !strings.Contains(out, "2 columns") {
			t.Errorf("install says:\n%s", out)
		}
		if out := mustRun(t, command("install", "--reason", "test")...); !strings.Contains(out, "Nothing to change") {
			t.Errorf("install again says:\n%s", out)
		}
		if _, err := db.SQL.ExecContext(t.Context(), `INSERT INTO customers VALUES (1, 'Ada', 'xyzzy')`); err != nil {
			t.Fatal(err)
		}
		var payload string
		if err := db.SQL.QueryRowContext(t.Context(), `SELECT payload FROM tidings_outbox`).Scan(&payload); err != nil || strings.Contains(payload, "xyzzy") || !strings.Contains(payload, "Ada") {
			t.Errorf("captured %s, %v", payload, err)
		}
		list := decode[captureListJSON](t, mustRun(t, "capture", "list", "--store-url", url, "-o", "json"))
		if len(list.Captures) != 1 || list.Captures[0].Channel != "customers.changes" || len(list.Captures[0].Columns) != 2 || len(list.Captures[0].Problems) != 0 {
			t.Errorf("the list is %+v", list)
		}
		shown := decode[captureJSON](t, mustRun(t, "capture", "show", "--table", "customers", "--store-url", url, "-o", "json"))
		if shown.Version != list.Captures[0].Version || shown.Version == "" || !strings.Contains(payload, shown.Version) {
			t.Errorf("shown is %+v", shown)
		}
		for _, args := range [][]string{{"list"}, {"show", "--table", "customers"}} {
			if out := mustRun(t, append(append([]string{"capture"}, args...), "--store-url", url)...); !strings.Contains(out, "customers.changes") {
				t.Errorf("%s says:\n%s", args[0], out)
			}
		}
		if out := mustRun(t, "doctor", "--store-url", url); !strings.Contains(out, "customers goes to channel customers.changes") {
			t.Errorf("doctor says:\n%s", out)
		}
		if out := mustRun(t, "capture", "remove", "--store-url", url, "--table", "customers", "--reason", "test"); !strings.Contains(out, "Removed") {
			t.Errorf("remove says:\n%s", out)
		}
	})
}

// TestCaptureSQL runs what is printed with the databases' own programs.
func TestCaptureSQL(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, url string) {
		mustRun(t, "migrate", "up", "--store-url", url)
		db := openURL(t, url)
		if _, err := db.SQL.ExecContext(t.Context(), `CREATE TABLE customers (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(20))`); err != nil {
			t.Fatal(err)
		}
		args := []string{"capture", "sql", "--store-url", url, "--table", "customers", "--channel", "customers.changes"}
		install := mustRun(t, args...)
		remove := mustRun(t, append(args, "--remove")...)
		rows := func(want int) {
			t.Helper()
			if _, err := db.SQL.ExecContext(t.Context(), `UPDATE customers SET name = 'x'`); err != nil {
				t.Fatal(err)
			}
			var n int
			if err := db.SQL.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM tidings_outbox`).Scan(&n); err != nil || n != want {
				t.Errorf("%d rows in the outbox, %v; want %d", n, err, want)
			}
		}
		if _, err := db.SQL.ExecContext(t.Context(), `INSERT INTO customers VALUES (1, 'a')`); err != nil {
			t.Fatal(err)
		}
		script(t, db.Kind, url, install)
		rows(1)
		// It is what install would have made.
		if out := mustRun(t, "capture", "install", "--store-url", url, "--table", "customers", "--channel", "customers.changes", "--reason", "x"); !strings.Contains(out, "Nothing to change") {
			t.Errorf("install says:\n%s", out)
		}
		script(t, db.Kind, url, remove)
		rows(1)
	})
}

// script feeds SQL to psql, mariadb or sqlite3.
func script(t *testing.T, kind, url, text string) {
	t.Helper()
	var name string
	var args []string
	switch kind {
	case "postgres":
		name, args = "psql", []string{"-v", "ON_ERROR_STOP=1", "-q", url}
	case "mysql":
		user, rest, _ := strings.Cut(strings.TrimPrefix(url, "mysql://"), "@")
		user, password, _ := strings.Cut(user, ":")
		address, database, _ := strings.Cut(rest, "/")
		host, port, _ := strings.Cut(address, ":")
		database, _, _ = strings.Cut(database, "?")
		name, args = "mariadb", []string{"--protocol=tcp", "-h", host, "-P", port, "-u", user, "-p" + password, database}
	case "sqlite":
		name, args = "sqlite3", []string{"-bail", strings.TrimPrefix(url, "sqlite:")}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		for _, dir := range []string{"/usr/lib/postgresql/15/bin/"} {
			if _, err := os.Stat(dir + name); err == nil {
				path = dir + name
			}
		}
	}
	if path == "" {
		t.Skipf("%s is not installed", name)
	}
	command := exec.CommandContext(context.Background(), path, args...)
	command.Stdin = strings.NewReader(text)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}
