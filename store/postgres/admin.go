package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tidings.example/admin"
)

// Admin is what an operator can ask of a database and do to it. Each change is
// recorded in the audit table in the same transaction.
type Admin struct{ db *DB }

var (
	_ admin.Parked   = (*Admin)(nil)
	_ admin.Outbox   = (*Admin)(nil)
	_ admin.Migrator = (*Admin)(nil)
	_ admin.Doctor   = (*Admin)(nil)
	_ admin.Log      = (*Admin)(nil)
	_ admin.Sagas    = (*Admin)(nil)
	_ admin.Locks    = (*Admin)(nil)
	_ admin.Pending  = (*Admin)(nil)
)

const auditSQL = `INSERT INTO tidings_audit (actor, action, target, reason, detail) VALUES ($1, $2, $3, $4, $5)`

// change runs fn in a transaction and records what it did: fn returns the target
// and the detail.
func (a *Admin) change(ctx context.Context, what string, act admin.Action, fn func(r runner) (target, detail string, err error)) error {
	if err := act.Validate(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	err := pgx.BeginTxFunc(ctx, a.db.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		target, detail, err := fn(onPgx(tx))
		if err != nil {
			return err
		}
		return onPgx(tx).run(ctx, statement{sql: auditSQL, args: []any{act.Actor, what, target, act.Reason, detail}})
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, a.db.advise(ctx, err))
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
	pool := a.db.utc()
	defer func() { _ = pool.Close() }()
	return m.List(ctx, pool)
}

// MigrationSQL is the whole text, for psql.
func (a *Admin) MigrationSQL() (string, error) {
	m, err := migrations()
	if err != nil {
		return "", err
	}
	return m.SQL()
}
