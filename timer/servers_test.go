package timer_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"tidings.example/internal/servertest"
	"tidings.example/store/mysql"
	"tidings.example/store/postgres"
	"tidings.example/store/sqlite"
)

type postgresTx = pgx.Tx

func openSQLite(ctx context.Context, path string) (*sqlite.DB, error) {
	db, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	return migrated(ctx, db, err)
}

func openMySQL(ctx context.Context, url string) (*mysql.DB, error) {
	db, err := mysql.Open(ctx, mysql.Config{URL: url})
	return migrated(ctx, db, err)
}

func openPostgres(ctx context.Context, url string) (*postgres.DB, error) {
	db, err := postgres.Open(ctx, postgres.Config{URL: url})
	return migrated(ctx, db, err)
}

func migrated[DB interface {
	io.Closer
	Migrate(ctx context.Context) error
}](ctx context.Context, db DB, err error) (DB, error) {
	if err != nil {
		return db, err
	}
	if err := db.Migrate(ctx); err != nil {
		return db, errors.Join(err, db.Close())
	}
	return db, nil
}

func closing(t testing.TB, db io.Closer) {
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

func sqliteAt(t testing.TB, path string) database[*sql.Tx] {
	t.Helper()
	db, err := openSQLite(t.Context(), path)
	must(t, err)
	closing(t, db)
	return database[*sql.Tx]{db.Timers(), db.Outbox(), db.Relay("shop")}
}

func mysqlAt(t testing.TB, url string) database[*sql.Tx] {
	t.Helper()
	db, err := openMySQL(t.Context(), url)
	must(t, err)
	closing(t, db)
	return database[*sql.Tx]{db.Timers(), db.Outbox(), db.Relay("shop")}
}

func postgresAt(t testing.TB, url string) database[pgx.Tx] {
	t.Helper()
	db, err := openPostgres(t.Context(), url)
	must(t, err)
	closing(t, db)
	return database[pgx.Tx]{db.Timers(), db.Outbox(), db.Relay("shop")}
}

func TestDelayedInSQLite(t *testing.T) {
	t.Parallel()
	testDelayed(t, func(t *testing.T) database[*sql.Tx] { return sqliteAt(t, filepath.Join(t.TempDir(), "test.db")) })
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "test.db")
		testKill(t, "sqlite", path, sqliteAt(t, path))
	})
}

func TestDelayedInMySQL(t *testing.T) {
	t.Parallel()
	testDelayed(t, func(t *testing.T) database[*sql.Tx] { return mysqlAt(t, servertest.MySQLDatabase(t)) })
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		url := servertest.MySQLDatabase(t)
		testKill(t, "mysql", url, mysqlAt(t, url))
	})
}

func TestDelayedInPostgres(t *testing.T) {
	t.Parallel()
	testDelayed(t, func(t *testing.T) database[pgx.Tx] { return postgresAt(t, servertest.PostgresSchema(t)) })
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		url := servertest.PostgresSchema(t)
		testKill(t, "postgres", url, postgresAt(t, url))
	})
}
