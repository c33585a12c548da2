package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5/stdlib"

	"tidings.example/admin"
	"tidings.example/internal/migrate"
	"tidings.example/internal/sqlstore"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// One at a time in a schema: creating the same table twice at once is an error.
const (
	lockMigrationsSQL   = `SELECT pg_advisory_lock(hashtextextended('tidings migrate ' || current_schema(), 0))`
	unlockMigrationsSQL = `SELECT pg_advisory_unlock(hashtextextended('tidings migrate ' || current_schema(), 0))`
)

func migrations() (*migrate.Set, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, fmt.Errorf("find migrations: %w", err)
	}
	run := func(query string) func(context.Context, *sql.Conn) error {
		return func(ctx context.Context, conn *sql.Conn) error {
			_, err := conn.ExecContext(ctx, query)
			return err
		}
	}
	return &migrate.Set{Dialect: migrate.Postgres, Files: files, Lock: run(lockMigrationsSQL), Unlock: run(unlockMigrationsSQL)}, nil
}

// Migrate creates and changes the tables of Tidings as far as that was not done.
// Several processes may call it at the same time.
func (db *DB) Migrate(ctx context.Context) error {
	_, err := db.migrate(ctx)
	return err
}

func (db *DB) migrate(ctx context.Context) ([]admin.Migration, error) {
	m, err := migrations()
	if err != nil {
		return nil, err
	}
	if err := db.checkSchema(ctx); err != nil {
		return nil, err
	}
	pool := db.utc()
	defer func() { _ = pool.Close() }()
	applied, err := m.Up(ctx, pool)
	if codeOf(err) == "42501" {
		err = &described{text: oneLine(err.Error()) + ": run the migrations as the owner of the schema", err: err}
	}
	return applied, err
}

// utc returns connections whose time zone is the one that migrations are dated in.
func (db *DB) utc() *sql.DB {
	pool := db.pool.Config()
	config := pool.ConnConfig.Copy()
	config.RuntimeParams["timezone"] = "UTC"
	options := []stdlib.OptionOpenDB{}
	if pool.BeforeConnect != nil {
		options = append(options, stdlib.OptionBeforeConnect(pool.BeforeConnect))
	}
	if pool.AfterConnect != nil {
		options = append(options, stdlib.OptionAfterConnect(pool.AfterConnect))
	}
	return stdlib.OpenDB(*config, options...)
}

// checkSchema finds out early what would be a riddle later.
func (db *DB) checkSchema(ctx context.Context) error {
	var schema *string
	var path string
	err := db.pool.QueryRow(ctx, `SELECT current_schema(), current_setting('search_path')`).Scan(&schema, &path)
	switch {
	case err != nil:
		return explainConnect(db.pool.Config().ConnConfig, err)
	case schema == nil:
		return fmt.Errorf("no schema of the search_path (%s) exists: create one of them", path)
	}
	return nil
}

// tables are those that must be there.
var tables = []string{"tidings_outbox", "tidings_outbox_log", "tidings_outbox_aside", "tidings_relay", "tidings_relay_log", "tidings_relay_counters", "tidings_relay_plan",
	"tidings_relay_epoch", "tidings_audit", "tidings_inbox_lane", "tidings_inbox_seen", "tidings_inbox_held", "tidings_inbox_parked",
	"tidings_saga", "tidings_saga_journal", "tidings_saga_plan", "tidings_timer", "tidings_command_lock", "tidings_command_aside",
	"tidings_command_answer", "tidings_reply"}

const missingSQL = `SELECT t FROM unnest($1::text[]) AS t WHERE to_regclass(t) IS NULL ORDER BY t`

// Ready returns nil if the database can be used, or says in one line what is
// wrong: it does not answer, tables are missing, migrations are pending.
func (db *DB) Ready(ctx context.Context) error {
	if err := db.ready(ctx); err != nil {
		c := db.pool.Config().ConnConfig
		return fmt.Errorf("postgres database %q at %s: %w", c.Database, address(c), err)
	}
	return nil
}

func (db *DB) ready(ctx context.Context) error {
	if err := db.checkSchema(ctx); err != nil {
		return err
	}
	var missing []string
	if err := db.pool.QueryRow(ctx, `SELECT ARRAY(`+missingSQL+`)`, tables).Scan(&missing); err != nil {
		return err
	}
	m, err := migrations()
	if err != nil {
		return err
	}
	all, err := m.List(ctx, db.sql)
	if codeOf(err) == "42501" && len(missing) == 0 {
		return nil // a role that may use the tables, but not look what made them
	}
	if err == nil {
		err = sqlstore.PendingError(all)
	}
	if err == nil && len(missing) > 0 {
		err = errors.New("tables are missing that the migrations made: " + strings.Join(missing, ", "))
	}
	return err
}
