package mysql

import (
	"context"
	"database/sql"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"tidings.example"
	"tidings.example/internal/servertest"
	"tidings.example/relay"
)

// newDB returns a new database with its tables.
func newDB(t testing.TB) *DB {
	t.Helper()
	db := openURL(t, servertest.MySQLDatabase(t))
	if err := db.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return db
}

func openURL(t testing.TB, url string) *DB {
	t.Helper()
	db, err := Open(context.Background(), Config{URL: url})
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

// inTx runs fn in a transaction of the user's pool.
func inTx(t testing.TB, db *DB, fn func(ctx context.Context, tx *sql.Tx) error) {
	t.Helper()
	ctx := context.Background()
	tx, err := db.sql.BeginTx(ctx, nil)
	if err == nil {
		if err = fn(ctx, tx); err == nil {
			err = tx.Commit()
		} else {
			_ = tx.Rollback()
		}
	}
	if err != nil {
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

func positions(rows []relay.Row) []int64 {
	var all []int64
	for _, r := range rows {
		all = append(all, r.Position)
	}
	return all
}

// foreignPool is a pool that this package has not made.
func foreignPool(t testing.TB, url string) *sql.DB {
	t.Helper()
	cfg := Config{URL: url}
	s, err := cfg.parse()
	if err != nil {
		t.Fatal(err)
	}
	s.driver.InterpolateParams = false
	s.driver.MultiStatements = true // for the tests' scripts
	connector, err := driver.NewConnector(s.driver)
	if err != nil {
		t.Fatal(err)
	}
	pool := sql.OpenDB(connector)
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}
