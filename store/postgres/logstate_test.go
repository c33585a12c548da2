package postgres_test

import (
	"database/sql"
	"testing"

	"github.com/jackc/pgx/v5"

	"tidings.example/store/storetest"
)

func TestLogState(t *testing.T) {
	t.Parallel()
	storetest.RunLogState(t, func(t *testing.T) storetest.DB[pgx.Tx] { return pgxHarness(migrated(t)) })
}

func TestLogStateSQL(t *testing.T) {
	t.Parallel()
	storetest.RunLogState(t, func(t *testing.T) storetest.DB[*sql.Tx] { return sqlHarness(migrated(t)) })
}
