package wal_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tidings.example/internal/servertest"
	"tidings.example/outbox"
	"tidings.example/relay"
	"tidings.example/store/postgres"
	"tidings.example/store/postgres/wal"
	"tidings.example/store/storetest"
)

// open opens a database of the test's own, and drops its slot after the test.
func open(t testing.TB) (*postgres.DB, string) {
	t.Helper()
	return openAt(t, servertest.PostgresDatabase(t))
}

func openAt(t testing.TB, url string) (*postgres.DB, string) {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxPayload: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	slot, _, err := db.LogNames(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A test that failed may have left a reader.
		const end = `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL`
		const drop = `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1`
		for range 100 {
			_, _ = db.Pool().Exec(context.Background(), end, slot)
			if _, err = db.Pool().Exec(context.Background(), drop, slot); err == nil {
				break
			}
		}
		if err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, slot
}

// tableless opens the database once more for each way to append past the table.
func tableless(t *testing.T, db *postgres.DB) map[string]*outbox.Outbox[pgx.Tx] {
	t.Helper()
	all := map[string]*outbox.Outbox[pgx.Tx]{}
	for _, way := range []postgres.Append{postgres.AppendAndDelete, postgres.AppendToLog} {
		if _, err := db.Pool().Exec(t.Context(), `UPDATE tidings_relay_log SET reading = 'log'`); err != nil {
			t.Fatal(err)
		}
		other, err := postgres.OnPool(t.Context(), db.Pool(), postgres.Config{Append: way, MaxPayload: 16 << 20})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = other.Close() })
		all[string(way)] = other.Outbox()
	}
	// The tests begin as every database does.
	if _, err := db.Pool().Exec(t.Context(), `UPDATE tidings_relay_log SET reading = 'table'`); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLog(t *testing.T) {
	t.Parallel()
	storetest.RunLog(t, storetest.LogHarness[pgx.Tx]{Open: func(t *testing.T) storetest.LogDB[pgx.Tx] {
		db, slot := open(t)
		return storetest.LogDB[pgx.Tx]{
			DB: storetest.DB[pgx.Tx]{
				Outbox:   db.Outbox(),
				Begin:    db.Pool().Begin,
				Commit:   func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) },
				Rollback: func(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) },
				Relay:    db.Relay,
				Inbox:    db.Inbox(),
				Admin:    db.Admin(),
			},
			Log:       func(source string) relay.LogSource { return wal.New(db, source, wal.Options{}) },
			Tableless: tableless(t, db),
			Foreign: func(ctx context.Context, bytes int) error {
				if _, err := db.Pool().Exec(ctx, `CREATE TABLE IF NOT EXISTS foreigners (b bytea)`); err != nil {
					return err
				}
				random := make([]byte, 1<<20) // which cannot be compressed
				for i := range random {
					random[i] = byte(rand.Uint32())
				}
				for ; bytes > 0; bytes -= 1 << 20 {
					if _, err := db.Pool().Exec(ctx, `INSERT INTO foreigners VALUES ($1)`, random); err != nil {
						return err
					}
				}
				return nil
			},
			Lose: func(ctx context.Context) error {
				// The server takes a moment to see that the reader has gone.
				var err error
				until(t, "the slot is dropped", func() bool {
					_, err = db.Pool().Exec(ctx, `SELECT pg_drop_replication_slot($1)`, slot)
					var server *pgconn.PgError
					return !errors.As(err, &server) || server.Code != "55006"
				})
				return err
			},
		}
	}})
}
