package postgres_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tidings.example/internal/servertest"
	"tidings.example/store/postgres"
	"tidings.example/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Harness[pgx.Tx]{
		Open:      func(t *testing.T) storetest.DB[pgx.Tx] { return pgxHarness(migrated(t)) },
		OpenEmpty: func(t *testing.T) storetest.DB[pgx.Tx] { return pgxHarness(open(t, servertest.PostgresSchema(t))) },
	})
}

// TestStoreSQL is the same through database/sql.
func TestStoreSQL(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Harness[*sql.Tx]{
		Open: func(t *testing.T) storetest.DB[*sql.Tx] { return sqlHarness(migrated(t)) },
	})
}

// open connects, and closes the connections before the schema is dropped.
func open(t testing.TB, url string) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: url})
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

// migrated opens a schema of its own with its tables.
func migrated(t testing.TB) *postgres.DB {
	t.Helper()
	db := open(t, servertest.PostgresSchema(t))
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func pgxHarness(db *postgres.DB) storetest.DB[pgx.Tx] {
	return storetest.DB[pgx.Tx]{
		Outbox: db.Outbox(), Inbox: db.Inbox(), Relay: db.Relay, Admin: db.Admin(),
		Sagas: db.Sagas(), Timers: db.Timers(), Commands: db.Commands(), Replies: db.Replies(), Operator: db.Admin(),
		Begin:    func(ctx context.Context) (pgx.Tx, error) { return db.Pool().Begin(ctx) },
		Commit:   func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) },
		Rollback: func(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) },
		Audit:    func(ctx context.Context) ([]storetest.Audit, error) { return audit(ctx, db) },
		Migrator: db.Admin(), Doctor: db.Admin(), Ready: db.Ready,
		Exec: func(ctx context.Context, script string) error { return exec(ctx, db, script) },
		Cut: func(ctx context.Context, tx pgx.Tx) error {
			return cut(ctx, db, func(pid *int) error { return tx.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(pid) })
		},
	}
}

func sqlHarness(db *postgres.DB) storetest.DB[*sql.Tx] {
	return storetest.DB[*sql.Tx]{
		Outbox: db.OutboxSQL(), Inbox: db.InboxSQL(), Relay: db.Relay, Admin: db.Admin(),
		Sagas: db.SagasSQL(), Timers: db.TimersSQL(), Commands: db.CommandsSQL(), Replies: db.RepliesSQL(), Operator: db.Admin(),
		Begin:    func(ctx context.Context) (*sql.Tx, error) { return db.SQL().BeginTx(ctx, nil) },
		Commit:   func(_ context.Context, tx *sql.Tx) error { return tx.Commit() },
		Rollback: func(_ context.Context, tx *sql.Tx) error { return tx.Rollback() },
		Audit:    func(ctx context.Context) ([]storetest.Audit, error) { return audit(ctx, db) },
		Migrator: db.Admin(), Doctor: db.Admin(), Ready: db.Ready,
		Exec: func(ctx context.Context, script string) error { return exec(ctx, db, script) },
		Cut: func(ctx context.Context, tx *sql.Tx) error {
			return cut(ctx, db, func(pid *int) error { return tx.QueryRowContext(ctx, "SELECT pg_backend_pid()").Scan(pid) })
		},
	}
}

// exec runs a script of several statements, as psql does.
func exec(ctx context.Context, db *postgres.DB, script string) error {
	return db.Pool().AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		_, err := conn.Conn().PgConn().Exec(ctx, script).ReadAll()
		return err
	})
}

func audit(ctx context.Context, db *postgres.DB) ([]storetest.Audit, error) {
	rows, err := db.Pool().Query(ctx, "SELECT actor, action, target, reason, detail FROM tidings_audit ORDER BY id")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[storetest.Audit])
}

// cut ends a session from outside, and waits until it is gone.
func cut(ctx context.Context, db *postgres.DB, pidOf func(*int) error) error {
	var pid int
	if err := pidOf(&pid); err != nil {
		return err
	}
	if _, err := db.Pool().Exec(ctx, "SELECT pg_terminate_backend($1)", pid); err != nil {
		return err
	}
	for left := 1; left > 0; {
		if err := db.Pool().QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid).Scan(&left); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}
