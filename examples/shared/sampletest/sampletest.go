// Package sampletest runs the samples in tests, and hands events to their services without
// a broker, in any order.
package sampletest

import (
	"context"
	"database/sql"
	"encoding/json"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/event"
	"tidings.example/examples/shared/sqldb"
	"tidings.example/internal/connect"
)

// Database returns a SQLite database with the tables of a service.
func Database(t testing.TB, service string, migrations fs.FS) sqldb.DB {
	t.Helper()
	ctx := context.Background()
	db, err := connect.OpenDatabase(ctx, "sqlite://"+filepath.Join(t.TempDir(), service+".db"), connect.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	made := sqldb.DB{Database: db}
	if err := made.Migrate(ctx, service, migrations); err != nil {
		t.Fatal(err)
	}
	return made
}

// Handle hands an event to a subscriber, in a transaction of its own.
func Handle(db sqldb.DB, sub *event.Subscriber[*sql.Tx], a event.Aggregate, id string, e event.Event) error {
	payload, err := json.Marshal(e)
	if err != nil {
		return err
	}
	m := &tidings.Message{ID: tidings.NewID(), Channel: a.Channel, Key: id, Type: e.EventType(), Time: time.Now(),
		ContentType: "application/json", Payload: payload, Headers: tidings.Headers{event.HeaderAggregateType: a.Name}}
	return db.Inbox.InTx(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
		return sub.Handle(tidings.WithCause(ctx, m), tx, m)
	})
}
