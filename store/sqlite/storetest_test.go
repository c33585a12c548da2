package sqlite

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"tidings.example/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Harness[*sql.Tx]{
		Open:      func(t *testing.T) storetest.DB[*sql.Tx] { return subject(newDB(t)) },
		OpenEmpty: func(t *testing.T) storetest.DB[*sql.Tx] { return subject(emptyDB(t)) },
		OneWriter: true,
	})
}

// A pool that this package has not made behaves the same.
func TestStoreOverForeignPool(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Harness[*sql.Tx]{
		Open: func(t *testing.T) storetest.DB[*sql.Tx] {
			db := foreignDB(t)
			if err := db.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			return subject(db)
		},
		OpenEmpty: func(t *testing.T) storetest.DB[*sql.Tx] { return subject(foreignDB(t)) },
		OneWriter: true,
	})
}

func foreignDB(t *testing.T) *DB {
	pool, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "test.db")+"?_journal_mode=WAL&_busy_timeout=10000")
	if err != nil {
		t.Fatal(err)
	}
	db, err := New(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = db.Close()
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func subject(db *DB) storetest.DB[*sql.Tx] {
	return storetest.DB[*sql.Tx]{
		Outbox: db.Outbox(), Inbox: db.Inbox(), Relay: db.Relay, Admin: db.Admin(),
		Sagas: db.Sagas(), Timers: db.Timers(), Commands: db.Commands(), Replies: db.Replies(), Operator: db.Admin(),
		Begin:    func(ctx context.Context) (*sql.Tx, error) { return db.sql.BeginTx(ctx, nil) },
		Commit:   func(_ context.Context, tx *sql.Tx) error { return tx.Commit() },
		Rollback: func(_ context.Context, tx *sql.Tx) error { return tx.Rollback() },
		Audit:    func(ctx context.Context) ([]storetest.Audit, error) { return audit(ctx, db.sql) },
		Migrator: db.Admin(), Doctor: db.Admin(), Ready: db.Ready,
		Exec: func(ctx context.Context, script string) error {
			_, err := db.sql.ExecContext(ctx, script)
			return err
		},
	}
}

func audit(ctx context.Context, pool *sql.DB) (all []storetest.Audit, err error) {
	rows, err := pool.QueryContext(ctx, `SELECT actor, action, target, reason, detail FROM tidings_audit ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var a storetest.Audit
		if err := rows.Scan(&a.Actor, &a.Action, &a.Target, &a.Reason, &a.Detail); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, rows.Err()
}
