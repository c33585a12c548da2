package binlog

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"tidings.example/relay"
	"tidings.example/store/mysql"
	"tidings.example/store/storetest"
)

func TestLog(t *testing.T) {
	t.Parallel()
	for _, byFile := range []bool{false, true} {
		t.Run(fmt.Sprintf("by file %v", byFile), func(t *testing.T) {
			t.Parallel()
			storetest.RunLog(t, storetest.LogHarness[*sql.Tx]{Open: func(t *testing.T) storetest.LogDB[*sql.Tx] {
				return subject(t, byFile)
			}})
		})
	}
}

func subject(t *testing.T, byFile bool) storetest.LogDB[*sql.Tx] {
	var db *mysql.DB
	if strings.Contains(t.Name(), "lost_position") || strings.Contains(t.Name(), "the_lag") { // all share one log
		db, _ = privateDB(t)
	} else {
		db = newDB(t)
	}
	exec(t, db, "CREATE TABLE foreign_table (id INT AUTO_INCREMENT PRIMARY KEY, content LONGBLOB)")
	return storetest.LogDB[*sql.Tx]{
		DB: storetest.DB[*sql.Tx]{
			Outbox: db.Outbox(), Inbox: db.Inbox(), Relay: db.Relay, Admin: db.Admin(),
			Begin:    func(ctx context.Context) (*sql.Tx, error) { return db.SQL().BeginTx(ctx, nil) },
			Commit:   func(_ context.Context, tx *sql.Tx) error { return tx.Commit() },
			Rollback: func(_ context.Context, tx *sql.Tx) error { return tx.Rollback() },
		},
		Log: func(name string) relay.LogSource { return New(db, name, Options{byFile: byFile}) },
		Foreign: func(ctx context.Context, bytes int) error {
			for ; bytes > 0; bytes -= 1 << 20 {
				if _, err := db.SQL().ExecContext(ctx, "INSERT INTO foreign_table (content) VALUES (REPEAT('x', 1048576))"); err != nil {
					return err
				}
			}
			return nil
		},
		Lose: func(ctx context.Context) error {
			if _, err := db.SQL().ExecContext(ctx, "FLUSH BINARY LOGS"); err != nil {
				return err
			}
			var file string
			var rest [3]any
			if err := db.SQL().QueryRowContext(ctx, "SHOW MASTER STATUS").Scan(&file, &rest[0], &rest[1], &rest[2]); err != nil {
				return err
			}
			// The server keeps a file as long as it sends it to somebody.
			for {
				var first string
				var size any
				if _, err := db.SQL().ExecContext(ctx, "PURGE BINARY LOGS TO '"+file+"'"); err != nil {
					return err
				}
				if err := db.SQL().QueryRowContext(ctx, "SHOW BINARY LOGS").Scan(&first, &size); err != nil || first == file {
					return err
				}
			}
		},
	}
}
