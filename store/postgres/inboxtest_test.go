package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"tidings.example/inbox/inboxtest"
)

func TestInboxOncePerMessage(t *testing.T) {
	t.Parallel()
	inboxtest.Run(t, func(t *testing.T) inboxtest.Subject[pgx.Tx] {
		db := migrated(t)
		_, err := db.Pool().Exec(t.Context(),
			`CREATE TABLE effect (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run text NOT NULL, effect text NOT NULL)`)
		if err != nil {
			t.Fatal(err)
		}
		return inboxtest.Subject[pgx.Tx]{
			Inbox: db.Inbox(),
			Admin: db.Admin(),
			Record: func(ctx context.Context, tx pgx.Tx, run, effect string) error {
				_, err := tx.Exec(ctx, `INSERT INTO effect (run, effect) VALUES ($1, $2)`, run, effect)
				return err
			},
			Recorded: func(ctx context.Context, run string) ([]string, error) {
				rows, err := db.Pool().Query(ctx, `SELECT effect FROM effect WHERE run = $1 ORDER BY position`, run)
				if err != nil {
					return nil, err
				}
				return pgx.CollectRows(rows, pgx.RowTo[string])
			},
		}
	})
}
