package sqlite

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"tidings.example/admin"
	"tidings.example/internal/migrate"
	"tidings.example/internal/sqlstore"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

func migrations() (*migrate.Set, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, fmt.Errorf("find migrations: %w", err)
	}
	return &migrate.Set{Dialect: migrate.SQLite, Files: files}, nil
}

// migrateAttempts is how often a migration is tried while other processes do
// the same: each time one of them has got further.
const migrateAttempts = 5

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
	var applied []admin.Migration
	for range migrateAttempts {
		var some []admin.Migration
		some, err = m.Up(ctx, db.sql)
		applied = append(applied, some...)
		if err == nil {
			return applied, nil
		}
		// There is no lock for migrations on SQLite: another process may have
		// done the same step first, which is an error here and progress all
		// the same.
		if ctx.Err() != nil {
			break
		}
		if pending, e := m.Pending(ctx, db.sql); e == nil && len(pending) == 0 {
			return applied, nil
		}
	}
	return applied, fmt.Errorf("migrate sqlite %s: %w", db.path, explain(err))
}

// Ready returns nil if the database can be used, or says what is wrong: it
// cannot be read, tables are missing, migrations are pending.
func (db *DB) Ready(ctx context.Context) error {
	m, err := migrations()
	if err != nil {
		return err
	}
	all, err := m.List(ctx, db.sql)
	if err == nil {
		err = sqlstore.PendingError(all)
	}
	if err == nil {
		err = db.missingTables(ctx)
	}
	if err != nil {
		return fmt.Errorf("sqlite %s: %w", db.path, explain(err))
	}
	return nil
}

const tablesSQL = mark + `SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'tidings%'`

func (db *DB) missingTables(ctx context.Context) error {
	rows, err := db.sql.QueryContext(ctx, tablesSQL)
	if err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	defer rows.Close()
	var existing []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return fmt.Errorf("list tables: %w", err)
		}
		existing = append(existing, name)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	return sqlstore.MissingTables(sqlstore.Tables, existing)
}
