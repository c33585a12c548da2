package capture_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"path/filepath"
	"testing"

	"tidings.example/admin"
	"tidings.example/internal/connect"
	"tidings.example/internal/servertest"
)

var act = admin.Action{Actor: "test", Reason: "test"}

// eachStore runs a test on an empty database of each kind, with the tables of Tidings.
func eachStore(t *testing.T, test func(t *testing.T, db *connect.Database)) {
	t.Helper()
	eachURL(t, func(t *testing.T, db *connect.Database, _ string) { test(t, db) })
}

// eachURL is eachStore for tests that connect by themselves too.
func eachURL(t *testing.T, test func(t *testing.T, db *connect.Database, url string)) {
	t.Helper()
	for kind, newURL := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "test.db") },
		"postgres": func(t *testing.T) string { return servertest.PostgresSchema(t) },
		"mysql":    func(t *testing.T) string { return servertest.MySQLDatabase(t) },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			url := newURL(t)
			db, err := connect.OpenDatabase(t.Context(), url, connect.Options{Create: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			if _, err := db.Admin.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			test(t, db, url)
		})
	}
}

type fatal interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func exec(t fatal, db *connect.Database, query string, args ...any) {
	t.Helper()
	if _, err := db.SQL.ExecContext(context.Background(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func install(t fatal, db *connect.Database, spec admin.CaptureSpec) admin.Captured {
	t.Helper()
	c, changed, err := db.Admin.InstallCapture(context.Background(), spec, act)
	if err != nil || !changed {
		t.Fatalf("install: changed %v, %v", changed, err)
	}
	return c
}

// A message is what a trigger has appended.
type message struct {
	Channel, Type string
	Key           sql.NullString
	Payload       payload
	Bytes         int
}

type payload struct {
	Op         string         `json:"op"`
	Schema     string         `json:"schema"`
	Table      string         `json:"table"`
	Columns    string         `json:"columns"`
	KeyChanged bool           `json:"keyChanged"`
	Old        map[string]any `json:"old"`
	New        map[string]any `json:"new"`
	Omitted    []string       `json:"omitted"`
}

// take returns what is in the outbox, in order, and empties it.
func take(t fatal, db *connect.Database) []message {
	t.Helper()
	rows, err := db.SQL.QueryContext(context.Background(), `SELECT channel, type, message_key, payload FROM tidings_outbox ORDER BY position`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []message
	for rows.Next() {
		var m message
		var body []byte
		if err := rows.Scan(&m.Channel, &m.Type, &m.Key, &body); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(body, &m.Payload); err != nil {
			t.Fatalf("%v in the payload %.2000q", err, body)
		}
		m.Bytes = len(body)
		all = append(all, m)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	_ = rows.Close()
	exec(t, db, `DELETE FROM tidings_outbox`)
	return all
}

// one returns the only message in the outbox.
func one(t fatal, db *connect.Database) message {
	t.Helper()
	all := take(t, db)
	if len(all) != 1 {
		t.Fatalf("%d messages instead of one: %+v", len(all), all)
	}
	return all[0]
}
