package servertest

import (
	"context"
	"database/sql"
	"net/url"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// MySQLDatabase creates a database and returns its URL, as in
// mysql://user:password@host:port/database. The database is dropped after the
// test, and the test fails if it cannot be: then a transaction was left open.
func MySQLDatabase(t testing.TB) string {
	t.Helper()
	u := parseURL(t, MySQL(t))
	database := Name("test")
	mysqlExec(t, u, "CREATE DATABASE `"+database+"` CHARACTER SET utf8mb4")
	t.Cleanup(func() { mysqlExec(t, u, "DROP DATABASE `"+database+"`") })

	own := *u
	own.Path = "/" + database
	return own.String()
}

// mysqlExec runs one statement in a session of its own.
func mysqlExec(t testing.TB, server *url.URL, statement string) {
	t.Helper()
	config := mysql.NewConfig()
	config.Net = "tcp"
	config.Addr = server.Host
	config.User = server.User.Username()
	config.Passwd, _ = server.User.Password()
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatalf("configure the connection to MySQL: %v", err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		t.Fatalf("run %q on MySQL: %v", statement, err)
	}
}
