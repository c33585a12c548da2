package mysql

import (
	"database/sql"
	"testing"

	"tidings.example/store/storetest"
)

func TestLogState(t *testing.T) {
	t.Parallel()
	storetest.RunLogState(t, func(t *testing.T) storetest.DB[*sql.Tx] { return subject(newDB(t)) })
}

func TestLogStateOverForeignPool(t *testing.T) {
	t.Parallel()
	storetest.RunLogState(t, func(t *testing.T) storetest.DB[*sql.Tx] {
		db := foreignDB(t)
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		return subject(db)
	})
}
