package inboxtest

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"tidings.example/admin"
	"tidings.example/inbox"
)

// SQL returns the subject of a store behind database/sql whose parameters are
// written as question marks. It creates a table of effects in db; position is
// the definition of a column that counts up.
func SQL(t *testing.T, db *sql.DB, in inbox.Storage[*sql.Tx], a admin.Parked, position string) Subject[*sql.Tx] {
	t.Helper()
	create := fmt.Sprintf(`CREATE TABLE effect (position %s, run VARCHAR(200) NOT NULL, effect VARCHAR(20) NOT NULL)`, position)
	if _, err := db.ExecContext(t.Context(), create); err != nil {
		t.Fatal(err)
	}
	return Subject[*sql.Tx]{
		Inbox: in,
		Admin: a,
		Record: func(ctx context.Context, tx *sql.Tx, run, effect string) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO effect (run, effect) VALUES (?, ?)`, run, effect)
			return err
		},
		Recorded: func(ctx context.Context, run string) (effects []string, err error) {
			rows, err := db.QueryContext(ctx, `SELECT effect FROM effect WHERE run = ? ORDER BY position`, run)
			if err != nil {
				return nil, err
			}
			defer rows.Close()
			for rows.Next() {
				var effect string
				if err := rows.Scan(&effect); err != nil {
					return nil, err
				}
				effects = append(effects, effect)
			}
			return effects, rows.Err()
		},
	}
}
