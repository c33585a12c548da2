package mysql

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"tidings.example/internal/servertest"
	"tidings.example/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Harness[*sql.Tx]{
		Open:      func(t *testing.T) storetest.DB[*sql.Tx] { return subject(newDB(t)) },
		OpenEmpty: func(t *testing.T) storetest.DB[*sql.Tx] { return subject(emptyDB(t)) },
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
	})
}

func emptyDB(t *testing.T) *DB { return openURL(t, servertest.MySQLDatabase(t)) }

func foreignDB(t *testing.T) *DB {
	db, err := New(t.Context(), foreignPool(t, servertest.MySQLDatabase(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
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
			// The suite's SQL is standard: a backslash in a string is one. The
			// pool is the one for several statements.
			_, err := db.relay.ExecContext(ctx, strings.ReplaceAll(script, `\`, `\\`))
			return err
		},
		Cut: func(ctx context.Context, tx *sql.Tx) error {
			var id int64
			if err := tx.QueryRowContext(ctx, `SELECT CONNECTION_ID()`).Scan(&id); err != nil {
				return err
			}
			_, err := db.sql.ExecContext(ctx, `KILL ?`, id)
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
