package servertest

import (
	"context"
	"database/sql"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
)

func TestNamesDiffer(t *testing.T) {
	t.Parallel()
	a, b := Name("orders"), Name("orders")
	if a == b || !strings.HasPrefix(a, "orders_") {
		t.Errorf("Name gave %q and %q; want two names that begin with orders_", a, b)
	}
}

func TestPostgresSchemaIsAloneAndGoesAway(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	observer := connectPostgres(t, Postgres(t))

	var schema string
	t.Run("in use", func(t *testing.T) {
		conn := connectPostgres(t, PostgresSchema(t))
		if err := conn.QueryRow(ctx, "SELECT current_schema()").Scan(&schema); err != nil {
			t.Fatal(err)
		}
		if schema == "public" {
			t.Errorf("sessions work in the schema %q; want one of the test's own", schema)
		}
		if _, err := conn.Exec(ctx, "CREATE TABLE things (id int)"); err != nil {
			t.Fatal(err)
		}
	})

	var left int
	if err := observer.QueryRow(ctx, "SELECT count(*) FROM pg_namespace WHERE nspname = $1", schema).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != 0 {
		t.Errorf("the schema %q is still there after the test", schema)
	}
}

func TestPostgresDatabaseGoesAwayWithItsSessions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	observer := connectPostgres(t, Postgres(t))

	var database string
	t.Run("in use", func(t *testing.T) {
		conn, err := pgx.Connect(ctx, PostgresDatabase(t)) // left open: the cleanup must not wait for it
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(ctx, "SELECT current_database()").Scan(&database); err != nil {
			t.Fatal(err)
		}
	})

	var left int
	if err := observer.QueryRow(ctx, "SELECT count(*) FROM pg_database WHERE datname = $1", database).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != 0 {
		t.Errorf("the database %q is still there after the test", database)
	}
}

func TestMySQLDatabaseIsAloneAndGoesAway(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	observer := openMySQL(t, MySQL(t))

	var database string
	t.Run("in use", func(t *testing.T) {
		db := openMySQL(t, MySQLDatabase(t))
		if err := db.QueryRowContext(ctx, "SELECT DATABASE()").Scan(&database); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(ctx, "CREATE TABLE things (id INT)"); err != nil {
			t.Fatal(err)
		}
	})

	var left int
	row := observer.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?", database)
	if err := row.Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != 0 {
		t.Errorf("the database %q is still there after the test", database)
	}
}

func TestPrivatePostgresKeepsItsDataThroughAKill(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	servers := Private(t, "postgres")
	url := servers.URL("postgres")
	if url == Postgres(t) {
		t.Fatal("the private server is the shared one")
	}

	before := connectPostgres(t, url)
	if _, err := before.Exec(ctx, "CREATE TABLE things AS SELECT 42 AS id"); err != nil {
		t.Fatal(err)
	}
	servers.Kill("postgres")
	if err := before.Ping(ctx); err == nil {
		t.Error("a session outlived the killed server")
	}

	servers.Restart("postgres")
	var id int
	if err := connectPostgres(t, url).QueryRow(ctx, "SELECT id FROM things").Scan(&id); err != nil || id != 42 {
		t.Errorf("after the kill the row is %d, %v; want 42", id, err)
	}
}

func TestPrivateNATSStopsAndStartsOnTheSamePort(t *testing.T) {
	t.Parallel()
	servers := Private(t, "nats")
	servers.Stop("nats")
	servers.Stop("nats")
	u, err := url.Parse(servers.URL("nats"))
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", u.Host); err == nil {
		conn.Close()
		t.Errorf("something listens on %s after the server was stopped", u.Host)
	}
	servers.Start("nats")
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatalf("after Start: %v", err)
	}
	conn.Close()
}

func connectPostgres(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func openMySQL(t *testing.T, server string) *sql.DB {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	config := mysql.NewConfig()
	config.Net, config.Addr, config.DBName = "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}
