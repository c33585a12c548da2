package main

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/inbox"
	"tidings.example/internal/connect"
	"tidings.example/internal/servertest"
)

// eachStore runs a test on an empty database of each kind.
func eachStore(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	for kind, newURL := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "test.db") },
		"postgres": func(t *testing.T) string { return servertest.PostgresDatabase(t) },
		"mysql":    func(t *testing.T) string { return servertest.MySQLDatabase(t) },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, newURL(t))
		})
	}
}

// migrated is an empty SQLite database with the tables of Tidings.
func migrated(t *testing.T) string {
	t.Helper()
	url := "sqlite:" + filepath.Join(t.TempDir(), "test.db")
	mustRun(t, "migrate", "up", "--store-url", url)
	return url
}

// openURL opens a database as the program does.
func openURL(t *testing.T, url string) *connect.Database {
	t.Helper()
	db, err := connect.OpenDatabase(t.Context(), url, connect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// insertSQL is what docs/formats/tables.md tells services in other languages
// to run: the columns that have no default, and the optional ones that matter.
func insertSQL(kind string) string {
	const statement = `INSERT INTO tidings_outbox (channel, message_key, type, payload) VALUES (?, ?, ?, ?)`
	if kind != "postgres" {
		return statement
	}
	return strings.NewReplacer("?, ?, ?, ?", "$1, $2, $3, $4").Replace(statement)
}

// insert adds a row to the outbox by plain SQL.
func insert(t *testing.T, url, channel, key, messageType, payload string) {
	t.Helper()
	db := openURL(t, url)
	if _, err := db.SQL.ExecContext(t.Context(), insertSQL(db.Kind), channel, key, messageType, []byte(payload)); err != nil {
		t.Fatal(err)
	}
}

// park stores messages of one key as an inbox does: the first has failed, the
// others wait behind it.
func park(t *testing.T, url, subscriber, key string, payloads ...string) {
	t.Helper()
	db := openURL(t, url)
	var changes inbox.Changes
	for i, payload := range payloads {
		p := inbox.Parked{Reason: "waits behind", ParkedAt: time.Now(), Message: tidings.Message{ID: tidings.NewID(),
			Source: "orders", Channel: "orders", Key: key, Type: "OrderCreated", Time: time.Now(),
			ContentType: "application/json", Headers: tidings.Headers{"correlationid": "c-1"}, Payload: []byte(payload)}}
		if i == 0 {
			p.Reason, p.Attempts = "amount is missing", 5
		}
		changes.Park = append(changes.Park, p)
	}
	err := db.Inbox.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		return db.Inbox.Save(ctx, tx, subscriber, changes)
	})
	if err != nil {
		t.Fatal(err)
	}
}
