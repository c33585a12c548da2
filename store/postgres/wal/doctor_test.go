package wal_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings.example/admin"
	"tidings.example/internal/servertest"
	"tidings.example/store/postgres"
	"tidings.example/store/postgres/wal"
)

func findings(t testing.TB, db *postgres.DB) map[string]admin.Finding {
	t.Helper()
	all := map[string]admin.Finding{}
	for _, f := range wal.Doctor(t.Context(), db) {
		all[f.Name] = f
	}
	return all
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	db, slot := open(t)
	for name, f := range findings(t, db) {
		if f.Status != admin.OK {
			t.Errorf("%s: %+v", name, f)
		}
	}
	r := tail(t, wal.New(db, "shop", wal.Options{}), "one", nil)
	if f := findings(t, db)["replication slot"]; f.Status != admin.OK || !strings.Contains(f.Detail, slot) {
		t.Errorf("while it is read: %+v", f)
	}
	if err := r.Close(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	until(t, "the finding that nobody reads", func() bool { return findings(t, db)["replication slot"].Status == admin.Warn })
	exec(t, db, `DO $$ BEGIN EXECUTE format('DROP PUBLICATION tidings_%s', 'tidings_outbox'::regclass::oid); END $$`)
	if f := findings(t, db)["publication"]; f.Status != admin.Warn || !strings.Contains(f.Advice, "CREATE PUBLICATION") {
		t.Errorf("without a publication: %+v", f)
	}
}

// TestErrorsNameTheRemedy runs as a role without what it needs.
func TestErrorsNameTheRemedy(t *testing.T) {
	t.Parallel()
	at := servertest.PostgresDatabase(t)
	db, _ := openAt(t, at)
	role := servertest.Name("reader")
	quoted := pgx.Identifier{role}.Sanitize()
	exec(t, db, `CREATE ROLE `+quoted+` LOGIN PASSWORD 'test'; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO `+quoted)
	t.Cleanup(func() {
		if _, err := db.Pool().Exec(context.Background(), `DROP OWNED BY `+quoted+`; DROP ROLE `+quoted); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal("the URL of the server cannot be parsed")
	}
	u.User = url.UserPassword(role, "test")
	lesser, err := postgres.Open(t.Context(), postgres.Config{URL: u.String()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lesser.Close() }()
	src := wal.New(lesser, "shop", wal.Options{})
	s, st, err := src.Acquire(t.Context(), "one", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Release(context.Background()) }()
	_, _, err = src.Tail(t.Context(), s, st)
	if err == nil || !strings.Contains(err.Error(), "ALTER ROLE "+quoted+" REPLICATION") {
		t.Errorf("without REPLICATION: %v", err)
	}
	if f := findings(t, lesser)["log reader's role"]; f.Status != admin.Warn {
		t.Errorf("without REPLICATION: %+v", f)
	}
	exec(t, db, `ALTER ROLE `+quoted+` REPLICATION`)
	exec(t, db, `DO $$ BEGIN EXECUTE format('DROP PUBLICATION tidings_%s', 'tidings_outbox'::regclass::oid); END $$`)
	_, _, err = src.Tail(t.Context(), s, st)
	if err == nil || !strings.Contains(err.Error(), "CREATE PUBLICATION tidings_") && !strings.Contains(err.Error(), `CREATE PUBLICATION "tidings_`) {
		t.Errorf("without a publication: %v", err)
	}
	var slots int
	if err := db.Pool().QueryRow(t.Context(), `SELECT count(*) FROM pg_replication_slots WHERE database = current_database()`).Scan(&slots); err != nil || slots != 0 {
		t.Errorf("%d slots are left, %v", slots, err)
	}
}
