package postgres

import (
	"context"
	"fmt"
)

const logNamesSQL = `SELECT (SELECT oid::text FROM pg_database WHERE datname = current_database()), 'tidings_outbox'::regclass::oid::text`

// LogNames returns the names of the replication slot and of the publication that
// belong to this outbox. They hold the outbox's oid, so that several schemas of
// a database, and several databases of a server, do not meet. Neither need exist.
func (db *DB) LogNames(ctx context.Context) (slot, publication string, err error) {
	var database, table string
	if err := db.pool.QueryRow(ctx, logNamesSQL).Scan(&database, &table); err != nil {
		return "", "", fmt.Errorf("find the outbox: %w", db.advise(ctx, err))
	}
	return "tidings_" + database + "_" + table, "tidings_" + table, nil
}
