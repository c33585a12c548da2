package sqlite

import (
	"database/sql"
	"testing"

	"tidings.example/inbox/inboxtest"
)

func TestInboxOncePerMessage(t *testing.T) {
	t.Parallel()
	inboxtest.Run(t, func(t *testing.T) inboxtest.Subject[*sql.Tx] {
		db := newDB(t)
		return inboxtest.SQL(t, db.sql, db.Inbox(), db.Admin(), "INTEGER PRIMARY KEY AUTOINCREMENT")
	})
}
