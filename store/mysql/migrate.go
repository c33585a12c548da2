package mysql

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"

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
	return &migrate.Set{Dialect: migrate.MySQL, Files: files, Lock: lockMigrations, Unlock: unlockMigrations}, nil
}

// The lock's name contains the database's, since locks belong to the server.
// Names are bounded at 64 bytes, so it is hashed.
const (
	lockMigrationsSQL   = `SELECT GET_LOCK(CONCAT('tidings.', MD5(DATABASE())), 60)`
	unlockMigrationsSQL = `SELECT RELEASE_LOCK(CONCAT('tidings.', MD5(DATABASE())))`
)

func lockMigrations(ctx context.Context, conn *sql.Conn) error {
	var got sql.NullInt64
	if err := conn.QueryRowContext(ctx, lockMigrationsSQL).Scan(&got); err != nil {
		return err
	}
	if got.Int64 != 1 {
		return errors.New("another process has been migrating for a minute")
	}
	return nil
}

func unlockMigrations(ctx context.Context, conn *sql.Conn) error {
	var released sql.NullInt64
	return conn.QueryRowContext(ctx, unlockMigrationsSQL).Scan(&released)
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
	applied, err := m.Up(ctx, db.inbox)
	if err != nil {
		return applied, fmt.Errorf("migrate mysql %s: %w", db.place, explain(err))
	}
	return applied, nil
}

// Ready returns nil if the database can be used, or says what is wrong: it
// cannot be reached, tables are missing, migrations are pending.
func (db *DB) Ready(ctx context.Context) error {
	m, err := migrations()
	if err != nil {
		return err
	}
	all, err := m.List(ctx, db.inbox)
	if err == nil {
		err = sqlstore.PendingError(all)
	}
	if err == nil {
		err = db.missingTables(ctx)
	}
	if err != nil {
		return fmt.Errorf("mysql %s: %w", db.place, explain(err))
	}
	return nil
}

const tablesSQL = `SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE 'tidings%'`

func (db *DB) missingTables(ctx context.Context) error {
	rows, err := db.inbox.QueryContext(ctx, tablesSQL)
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
	return sqlstore.MissingTables(append(slices.Clone(sqlstore.Tables), "tidings_inbox_slot", "tidings_relay_log", "tidings_outbox_log"), existing)
}
