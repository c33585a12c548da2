package sqlite

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/relay"
)

// newDB returns a new database with its tables.
func newDB(t testing.TB) *DB {
	t.Helper()
	db := emptyDB(t)
	if err := db.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return db
}

// emptyDB returns a new database without tables.
func emptyDB(t testing.TB) *DB {
	t.Helper()
	db, err := Open(context.Background(), Config{Path: filepath.Join(t.TempDir(), "test.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func message(key string) tidings.Message {
	return tidings.Message{Channel: "orders", Key: key, Type: "OrderCreated", Payload: []byte(`{"total":12.34}`)}
}

func appendAll(t testing.TB, db *DB, ms ...tidings.Message) {
	t.Helper()
	inTx(t, db, func(ctx context.Context, tx *sql.Tx) error { return db.Outbox().Append(ctx, tx, ms...) })
}

func inTx(t testing.TB, db *DB, fn func(ctx context.Context, tx *sql.Tx) error) {
	t.Helper()
	if err := db.inTx(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

func acquire(t testing.TB, db *DB, holder string) (relay.Session, relay.State) {
	t.Helper()
	session, state, err := db.Relay("test").Acquire(context.Background(), holder, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := session.Release(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return session, state
}

func everything() relay.Query { return relay.Query{Limit: 1000} }

func read(t testing.TB, s relay.Session, q relay.Query) []relay.Row {
	t.Helper()
	rows, err := s.Read(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
