package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// decode reads what a command printed as JSON.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return v
}

type migrationsJSON struct {
	Migrations []migrationJSON `json:"migrations"`
	Pending    int             `json:"pending"`
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, url string) {
		if strings.HasPrefix(url, "sqlite:") {
			invoke(t, "migrate", "status", "--store-url", url).fails(t, exitFailed, "does not exist", "tidings migrate up")
		} else {
			r := invoke(t, "migrate", "status", "--store-url", url)
			r.fails(t, exitNegative, "pending", "tidings migrate up")
			if !strings.Contains(r.stdout, "pending") {
				t.Errorf("status prints no pending migration:\n%s", r.stdout)
			}
		}
		if out := mustRun(t, "migrate", "up", "--store-url", url); !strings.Contains(out, "applied 1 ") {
			t.Errorf("up says:\n%s", out)
		}
		if out := mustRun(t, "migrate", "up", "--store-url", url); !strings.Contains(out, "up to date") {
			t.Errorf("the second up says:\n%s", out)
		}
		status := decode[migrationsJSON](t, mustRun(t, "migrate", "status", "--store-url", url, "-o", "json"))
		if status.Pending != 0 || len(status.Migrations) == 0 || status.Migrations[0].AppliedAt == nil {
			t.Errorf("status is %+v", status)
		}
		text := mustRun(t, "migrate", "--print", "--store-url", url)
		for _, table := range []string{"tidings_outbox", "tidings_inbox_lane", "tidings_audit"} {
			if !strings.Contains(text, table) {
				t.Errorf("the printed SQL does not create %s", table)
			}
		}
	})
}

func TestPrintedMigrationsNeedNoServer(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"sqlite:absent.db", "postgres://absent.invalid/db", "mysql://absent.invalid/db"} {
		if out := mustRun(t, "migrate", "up", "--print", "--store-url", url); !strings.Contains(out, "CREATE TABLE") {
			t.Errorf("%s: printed:\n%s", url, out)
		}
	}
}

func TestOutboxWithoutRelay(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, url string) {
		invokeEither(t, url)
		mustRun(t, "migrate", "up", "--store-url", url)
		if out := mustRun(t, "outbox", "--store-url", url); !strings.Contains(out, "nothing waits") || !strings.Contains(out, "nobody leads") {
			t.Errorf("an empty outbox is:\n%s", out)
		}
		insert(t, url, "orders", "1", "OrderCreated", "{}")
		insert(t, url, "orders", "2", "OrderCreated", "{}")
		backlog := decode[backlogJSON](t, mustRun(t, "outbox", "--store-url", url, "-o", "json"))
		if backlog.Rows != 2 || backlog.SetAside != 0 || backlog.Holder != "" || backlog.OldestSeconds < 0 || backlog.OldestSeconds > 300 {
			t.Errorf("the backlog is %+v", backlog)
		}
		if out := mustRun(t, "outbox", "--store-url", url); !strings.Contains(out, "2 rows, the oldest") {
			t.Errorf("the backlog is:\n%s", out)
		}
		if out := mustRun(t, "outbox", "list", "--store-url", url); !strings.Contains(out, "Nothing is set aside.") {
			t.Errorf("set aside is:\n%s", out)
		}
		invoke(t, "outbox", "retry", "--store-url", url, "--channel", "orders", "--key", "1", "--reason", "test").
			fails(t, exitNegative, `channel "orders"`, `key "1"`)
		invoke(t, "outbox", "discard", "1", "--store-url", url, "--reason", "test").fails(t, exitNegative, "position 1")
	})
}

// invokeEither checks that a database without tables gives a clear error.
func invokeEither(t *testing.T, url string) {
	t.Helper()
	want := "tidings migrate up"
	for _, args := range [][]string{{"outbox"}, {"outbox", "list"}, {"parked", "list"}, {"parked", "show", "1"}} {
		invoke(t, append(args, "--store-url", url)...).fails(t, exitFailed, want)
	}
}

type parkedListJSON struct {
	Parked []parkedJSON `json:"parked"`
}

func TestParked(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, url string) {
		mustRun(t, "migrate", "up", "--store-url", url)
		if out := mustRun(t, "parked", "list", "--store-url", url); !strings.Contains(out, "Nothing is parked.") {
			t.Errorf("nothing parked is:\n%s", out)
		}
		park(t, url, "customers", "k1", `{"amount":}`, `{"amount":2}`)
		park(t, url, "history", "k1", `{"amount":3}`)

		list := func(args ...string) []parkedJSON {
			t.Helper()
			out := mustRun(t, append([]string{"parked", "list", "--store-url", url, "-o", "json"}, args...)...)
			return decode[parkedListJSON](t, out).Parked
		}
		all := list()
		if len(all) != 3 || all[0].Behind != 0 || all[1].Behind != 1 || all[0].Attempts != 5 || all[0].Reason != "amount is missing" {
			t.Fatalf("parked are %+v", all)
		}
		if n := len(list("--heads")); n != 2 {
			t.Errorf("%d heads, want 2", n)
		}
		if n := len(list("--subscriber", "history")); n != 1 {
			t.Errorf("%d messages of history, want 1", n)
		}
		if n := len(list("--after", strconv.FormatInt(all[0].ID, 10))); n != 2 {
			t.Errorf("%d messages after the first, want 2", n)
		}
		id := strconv.FormatInt(all[0].ID, 10)
		store := []string{"--store-url", url}
		run := func(args ...string) result { return invoke(t, append(args, store...)...) }

		shown := decode[parkedJSON](t, run("parked", "show", id, "-o", "json").stdout)
		if shown.Message.Payload == nil || *shown.Message.Payload != `{"amount":}` || shown.Message.Headers["correlationid"] != "c-1" {
			t.Errorf("shown is %+v", shown)
		}
		if out := run("parked", "show", id, "--payload").stdout; out != `{"amount":}` {
			t.Errorf("the payload is %q", out)
		}
		if out := run("parked", "show", id).stdout; !strings.Contains(out, "amount is missing") || !strings.Contains(out, "5 times") {
			t.Errorf("shown is:\n%s", out)
		}

		run("parked", "edit", id, "--payload", "{", "--reason", "test").fails(t, exitUsage, "not JSON", "--force")
		file := filepath.Join(t.TempDir(), "p.json")
		if err := os.WriteFile(file, []byte(`{"amount":1}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := run("parked", "edit", id, "--payload-file", file, "--retry", "--reason", "amount was missing"); r.code != exitDone {
			t.Fatalf("edit: %+v", r)
		}
		if out := run("parked", "show", id, "--payload").stdout; out != `{"amount":1}` {
			t.Errorf("the edited payload is %q", out)
		}
		if again := list(); !again[0].RetryAsked {
			t.Errorf("after edit --retry no retry is asked for: %+v", again[0])
		}
		last := strconv.FormatInt(all[2].ID, 10)
		if r := run("parked", "retry", last, "--reason", "test"); r.code != exitDone || !strings.Contains(r.stdout, last) {
			t.Errorf("retry: %+v", r)
		}
		if r := run("parked", "discard", id, "--reason", "test data", "--actor", "ada"); r.code != exitDone {
			t.Errorf("discard: %+v", r)
		}
		if n := len(list("--subscriber", "customers")); n != 1 {
			t.Errorf("after discard %d messages of customers are parked, want 1", n)
		}
		for _, args := range [][]string{{"show", id}, {"retry", id, "--reason", "x"}, {"discard", id, "--reason", "x"}, {"edit", id, "--payload", "{}", "--reason", "x"}} {
			run(append([]string{"parked"}, args...)...).fails(t, exitNegative, "no message with id "+id, "tidings parked list")
		}
		checkAudit(t, url)
	})
}

// checkAudit looks for who and why in the audit table.
func checkAudit(t *testing.T, url string) {
	t.Helper()
	rows, err := openURL(t, url).SQL.QueryContext(t.Context(), "SELECT actor, reason FROM tidings_audit ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var actor, reason string
		if err := rows.Scan(&actor, &reason); err != nil {
			t.Fatal(err)
		}
		got = append(got, actor+": "+reason)
	}
	want := "tester: amount was missing, tester: amount was missing, tester: test, ada: test data"
	if s := strings.Join(got, ", "); s != want || rows.Err() != nil {
		t.Errorf("the audit table holds %q, want %q (%v)", s, want, rows.Err())
	}
}

// TestTerminalsAreNotWrittenTo: what a stranger sent moves nobody's cursor.
func TestTerminalsAreNotWrittenTo(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	park(t, url, "customers", "k1", "{\x1b[2J}")
	for _, args := range [][]string{{"parked", "list"}, {"parked", "show", "1"}} {
		if out := mustRun(t, append(args, "--store-url", url)...); strings.Contains(out, "\x1b") {
			t.Errorf("%v prints an escape sequence: %q", args, out)
		}
	}
}

func TestEditFromStdin(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	park(t, url, "customers", "k1", "{}")
	i := invocation{stdin: `{"a":1}`, args: []string{"parked", "edit", "1", "--payload-file", "-", "--reason", "test", "--store-url", url}}
	if r := i.run(t); r.code != exitDone {
		t.Fatalf("edit: %+v", r)
	}
	if out := mustRun(t, "parked", "show", "1", "--payload", "--store-url", url); out != `{"a":1}` {
		t.Errorf("the payload is %q", out)
	}
}
