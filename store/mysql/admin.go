package mysql

import (
	"context"
	"database/sql"
	"fmt"

	"tidings.example/admin"
	"tidings.example/internal/sqlstore"
)

// Admin is what an operator can ask of a database and do to it. Each change is
// recorded in the audit table in the same transaction.
type Admin struct {
	db *DB
	*operator
}

// operator is what is the same for several databases.
type operator = sqlstore.Operator

func newAdmin(db *DB) *Admin {
	a := &Admin{db: db}
	a.operator = sqlstore.NewOperator(db.engine(), a.change)
	return a
}

var (
	_ admin.Parked   = (*Admin)(nil)
	_ admin.Outbox   = (*Admin)(nil)
	_ admin.Migrator = (*Admin)(nil)
	_ admin.Doctor   = (*Admin)(nil)
	_ admin.Sagas    = (*Admin)(nil)
	_ admin.Locks    = (*Admin)(nil)
)

const auditSQL = `INSERT INTO tidings_audit (at, actor, action, target, reason, detail) VALUES (UTC_TIMESTAMP(6), ?, ?, ?, ?, ?)`

// change runs fn in a transaction and records what it did: fn returns the
// target and the detail.
func (a *Admin) change(ctx context.Context, what string, act admin.Action,
	fn func(tx *sql.Tx) (target, detail string, err error)) error {
	if err := act.Validate(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	err := a.db.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		target, detail, err := fn(tx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, auditSQL, act.Actor, what, target, act.Reason, detail)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Migrate applies what is missing and returns what it applied.
func (a *Admin) Migrate(ctx context.Context) ([]admin.Migration, error) { return a.db.migrate(ctx) }

// Migrations lists all migrations with when each was applied.
func (a *Admin) Migrations(ctx context.Context) ([]admin.Migration, error) {
	m, err := migrations()
	if err != nil {
		return nil, err
	}
	return m.List(ctx, a.db.inbox)
}

// MigrationSQL is the whole text, for the mysql command.
func (a *Admin) MigrationSQL() (string, error) {
	m, err := migrations()
	if err != nil {
		return "", err
	}
	return m.SQL()
}
