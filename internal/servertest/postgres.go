package servertest

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// cleanupTimeout bounds what a cleanup does on a server, so that a session which
// a test has left open is reported and does not hang the run.
const cleanupTimeout = 20 * time.Second

// PostgresSchema creates a schema and returns a URL whose sessions find their
// tables in it and nowhere else. The schema is dropped after the test, and the test
// fails if it cannot be: then a transaction was left open. What belongs to the
// database (advisory locks, notifications, replication slots) is still shared;
// tests of these take a [PostgresDatabase].
func PostgresSchema(t testing.TB) string {
	t.Helper()
	server := Postgres(t)
	schema := Name("test")
	quoted := pgx.Identifier{schema}.Sanitize()
	postgresExec(t, server, "CREATE SCHEMA "+quoted)
	t.Cleanup(func() { postgresExec(t, server, "DROP SCHEMA "+quoted+" CASCADE") })

	u := parseURL(t, server)
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String()
}

// PostgresDatabase creates a database and returns its URL. The database is dropped
// after the test, with the sessions that are still in it.
func PostgresDatabase(t testing.TB) string {
	t.Helper()
	server := Postgres(t)
	database := Name("test")
	quoted := pgx.Identifier{database}.Sanitize()
	postgresExec(t, server, "CREATE DATABASE "+quoted)
	t.Cleanup(func() { postgresExec(t, server, "DROP DATABASE "+quoted+" WITH (FORCE)") })

	u := parseURL(t, server)
	u.Path = "/" + database
	return u.String()
}

// postgresExec runs one statement in a session of its own.
func postgresExec(t testing.TB, server, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatalf("connect to PostgreSQL: %v", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("run %q on PostgreSQL: %v", statement, err)
	}
}

func parseURL(t testing.TB, server string) *url.URL {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		// The error would repeat the URL, and with it the password.
		t.Fatal("the URL of a test server cannot be parsed; see scripts/servers env")
	}
	return u
}
