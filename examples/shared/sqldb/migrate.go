package sqldb

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Migrate creates what is missing: the tables of Tidings, then those of the
// service, from the folder of files that is named like the database's kind.
// goose records what it has applied in a table named after the service.
func (db DB) Migrate(ctx context.Context, service string, files fs.FS) error {
	if _, err := db.Admin.Migrate(ctx); err != nil {
		return fmt.Errorf("migrate database of %s: %w", service, err)
	}
	provider, err := db.provider(service, files)
	if err != nil {
		return fmt.Errorf("migrate database of %s: %w", service, err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate database of %s: %w", service, err)
	}
	return nil
}

func (db DB) provider(service string, files fs.FS) (*goose.Provider, error) {
	options := []goose.ProviderOption{goose.WithTableName(strings.ReplaceAll(service, "-", "_") + "_migrations"), goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger())}
	var dialect goose.Dialect
	switch db.Kind {
	case "sqlite":
		dialect = goose.DialectSQLite3
	case "mysql":
		dialect = goose.DialectMySQL
	case "postgres":
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	default:
		return nil, fmt.Errorf("database kind is %q: use sqlite, postgres or mysql", db.Kind)
	}
	folder, err := fs.Sub(files, "migrations/"+db.Kind)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(dialect, db.SQL, folder, options...)
}
