// Package migrate applies the numbered SQL files of a store, records them in
// the table tidings_migration, and prints them for people who run SQL by hand.
// What was applied by hand, with the printed text, counts as applied.
package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"tidings.example/admin"
)

// Table is where applied migrations are recorded.
const Table = "tidings_migration"

// The dialects that stores use.
const (
	Postgres = goose.DialectPostgres
	MySQL    = goose.DialectMySQL
	SQLite   = goose.DialectSQLite3
)

// A Set is the migrations of one store. Its methods may be called by several
// goroutines and processes; see Lock.
type Set struct {
	Dialect goose.Dialect
	// Files holds NNNNN_name.sql files at its root, each with a line
	// "-- +goose Up"; what follows a line "-- +goose Down" is not used.
	Files fs.FS
	// Lock, if set, keeps other processes from migrating the same tables until
	// Unlock is called on the same connection. The pool must allow for a second
	// connection beside it.
	Lock   func(ctx context.Context, conn *sql.Conn) error
	Unlock func(ctx context.Context, conn *sql.Conn) error
}

// Up applies what is missing, each migration in a transaction where the
// database can do that, and returns what it applied, also where it then failed.
// The driver must return dates as time.Time, in UTC.
func (s *Set) Up(ctx context.Context, db *sql.DB) (applied []admin.Migration, err error) {
	if s.Lock != nil {
		conn, err := db.Conn(ctx)
		if err != nil {
			return nil, fmt.Errorf("migrate: %w", err)
		}
		defer func() { _ = conn.Close() }()
		if err := s.Lock(ctx, conn); err != nil {
			return nil, fmt.Errorf("lock the migrations: %w", err)
		}
		defer func() {
			// Also where ctx is done, for the connection may live on in a pool.
			if e := s.Unlock(context.WithoutCancel(ctx), conn); e != nil && err == nil {
				err = fmt.Errorf("unlock the migrations: %w", e)
			}
		}()
	}
	provider, err := goose.NewProvider(s.Dialect, db, s.Files,
		goose.WithTableName(Table), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	results, err := provider.Up(ctx)
	if partial := (*goose.PartialError)(nil); errors.As(err, &partial) {
		results = partial.Applied
		err = fmt.Errorf("apply migration %s: %w", path.Base(partial.Failed.Source.Path), partial.Err)
	} else if err != nil {
		err = fmt.Errorf("migrate: %w", err)
	}
	applied, listErr := s.appliedOf(ctx, db, results)
	if err == nil {
		err = listErr
	}
	return applied, err
}

func (s *Set) appliedOf(ctx context.Context, db *sql.DB, results []*goose.MigrationResult) ([]admin.Migration, error) {
	if len(results) == 0 {
		return nil, nil
	}
	all, err := s.List(ctx, db)
	if err != nil {
		return nil, err
	}
	versions := map[int64]bool{}
	for _, r := range results {
		versions[r.Source.Version] = true
	}
	var applied []admin.Migration
	for _, m := range all {
		if versions[m.Version] {
			applied = append(applied, m)
		}
	}
	return applied, nil
}

// List returns all migrations, with when each was applied. It changes nothing,
// also where nothing was ever applied.
func (s *Set) List(ctx context.Context, db *sql.DB) ([]admin.Migration, error) {
	files, err := s.files()
	if err != nil {
		return nil, err
	}
	all := make([]admin.Migration, len(files))
	for i, f := range files {
		all[i] = admin.Migration{Version: f.version, Name: f.name}
	}
	store, err := database.NewStore(s.Dialect, Table)
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	if exists, err := s.tableExists(ctx, db, store); err != nil || !exists {
		return all, err
	}
	for i := range all {
		result, err := store.GetMigration(ctx, db, all[i].Version)
		switch {
		case errors.Is(err, database.ErrVersionNotFound):
		case err != nil:
			return nil, fmt.Errorf("list migrations: %w", err)
		case result.IsApplied:
			all[i].AppliedAt = result.Timestamp.UTC()
		}
	}
	return all, nil
}

func (s *Set) tableExists(ctx context.Context, db *sql.DB, store database.Store) (bool, error) {
	if extended, ok := store.(database.StoreExtender); ok {
		exists, err := extended.TableExists(ctx, db)
		if !errors.Is(err, errors.ErrUnsupported) {
			return exists, err
		}
	}
	var exists bool
	err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?)", Table).Scan(&exists)
	if err != nil {
		return false, fmt.Errorf("look for the table %s: %w", Table, err)
	}
	return exists, nil
}

// Pending returns the names of the migrations that are not applied.
func (s *Set) Pending(ctx context.Context, db *sql.DB) ([]string, error) {
	all, err := s.List(ctx, db)
	var names []string
	for _, m := range all {
		if m.AppliedAt.IsZero() {
			names = append(names, fmt.Sprintf("%05d_%s", m.Version, m.Name))
		}
	}
	return names, err
}

// SQL returns the text of all migrations and of the table that records them,
// for an empty database.
func (s *Set) SQL() (string, error) {
	files, err := s.files()
	if err != nil {
		return "", err
	}
	store, err := database.NewStore(s.Dialect, Table)
	if err != nil {
		return "", fmt.Errorf("print migrations: %w", err)
	}
	var record recorder
	// The recorder runs nothing, so there is no context to pass on.
	if err := store.CreateVersionTable(context.Background(), &record); err != nil {
		return "", fmt.Errorf("print migrations: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s;\n%s", strings.ReplaceAll(record.query, "\n\t", "\n"), appliedSQL(0))
	for _, f := range files {
		fmt.Fprintf(&b, "\n-- %05d_%s\n\n%s\n%s", f.version, f.name, strings.TrimSpace(f.up), appliedSQL(f.version))
	}
	return b.String(), nil
}

func appliedSQL(version int64) string {
	return fmt.Sprintf("INSERT INTO %s (version_id, is_applied) VALUES (%d, TRUE);\n", Table, version)
}
