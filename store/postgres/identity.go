package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const (
	// The timeline is that of the log being written now: the control file still
	// has the old one for a while after a standby was promoted.
	identitySQL = `SELECT has_function_privilege('pg_control_system()', 'EXECUTE'),
	CASE WHEN has_function_privilege('pg_walfile_name(pg_lsn)', 'EXECUTE') THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) ELSE '-' END,
	(SELECT oid::text FROM pg_database WHERE datname = current_database()),
	'tidings_outbox'::regclass::oid::text`

	systemSQL = `SELECT system_identifier::text FROM pg_control_system()`
)

// identity tells this outbox from every other, and from itself after a restore:
// the server's data directory (initdb, which a base backup keeps), its timeline
// (which a restore from a backup or a promotion changes), the database, the
// table, and what was drawn when the tables were made.
func identity(ctx context.Context, tx pgx.Tx, made string) (string, error) {
	var may bool
	var timeline, database, table string
	system := "-"
	if err := tx.QueryRow(ctx, identitySQL).Scan(&may, &timeline, &database, &table); err != nil {
		return "", fmt.Errorf("read the database's identity: %w", err)
	}
	if may {
		if err := tx.QueryRow(ctx, systemSQL).Scan(&system); err != nil {
			return "", fmt.Errorf("read the system identifier: %w", err)
		}
	}
	return fmt.Sprintf("postgres system %s timeline %s database %s table %s made %s", system, timeline, database, table, made), nil
}
