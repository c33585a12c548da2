package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"tidings.example/admin"
	"tidings.example/inbox/inboxtest"
)

func TestInboxOncePerMessage(t *testing.T) {
	t.Parallel()
	inboxtest.Run(t, func(t *testing.T) inboxtest.Subject[*sql.Tx] {
		db := newDB(t)
		_, err := db.sql.ExecContext(t.Context(),
			`CREATE TABLE effect (position INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, effect TEXT NOT NULL)`)
		if err != nil {
			t.Fatal(err)
		}
		return inboxtest.Subject[*sql.Tx]{
			Inbox: db.Inbox(),
			Record: func(ctx context.Context, tx *sql.Tx, run, effect string) error {
				_, err := tx.ExecContext(ctx, `INSERT INTO effect (run, effect) VALUES (?, ?)`, run, effect)
				return err
			},
			Recorded: func(ctx context.Context, run string) ([]string, error) { return recorded(ctx, db.sql, run) },
			Retry:    func(ctx context.Context, subscriber string) error { return retryAll(ctx, db.Admin(), subscriber) },
		}
	})
}

func recorded(ctx context.Context, db *sql.DB, run string) (effects []string, err error) {
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
}

func retryAll(ctx context.Context, a admin.Parked, subscriber string) error {
	heads, err := a.ListParked(ctx, admin.ParkedFilter{Subscriber: subscriber, Heads: true})
	for _, p := range heads {
		retryErr := a.RetryParked(ctx, p.ID, admin.Action{Actor: "test", Reason: "healed"})
		if !errors.Is(retryErr, admin.ErrNotFound) {
			err = errors.Join(err, retryErr)
		}
	}
	return err
}
