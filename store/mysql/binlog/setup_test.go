package binlog

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings.example/internal/servertest"
	"tidings.example/relay"
	"tidings.example/store/mysql"
)

const patience = 20 * time.Second

// newDB returns a new database with its tables on the shared server.
func newDB(t testing.TB) *mysql.DB {
	t.Helper()
	return migrated(t, servertest.MySQLDatabase(t))
}

func migrated(t testing.TB, url string) *mysql.DB {
	t.Helper()
	db, err := mysql.Open(context.Background(), mysql.Config{URL: url, MaxPayload: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return db
}

// privateDB returns a database on a server of the test's own.
func privateDB(t testing.TB) (*mysql.DB, *servertest.Servers) {
	t.Helper()
	servers := servertest.Private(t, "mariadb")
	return migrated(t, databaseOn(t, servers.URL("mariadb"))), servers
}

func databaseOn(t testing.TB, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal("the URL of the server cannot be parsed")
	}
	u.Path = "/mysql"
	db, err := mysql.Open(context.Background(), mysql.Config{URL: u.String()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := servertest.Name("test")
	exec(t, db, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4")
	u.Path = "/" + name
	return u.String()
}

func exec(t testing.TB, db *mysql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.SQL().ExecContext(context.Background(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// source returns a source; by file or by GTID.
func source(t testing.TB, db *mysql.DB, byFile bool) *Source {
	t.Helper()
	return New(db, "test", Options{byFile: byFile})
}

// A following is an open log.
type following struct {
	relay.Log
	t       testing.TB
	session relay.Session
	start   relay.Start
	state   relay.State
}

// follow opens the log at a position; nil is a fresh start.
func follow(t testing.TB, s *Source, position []byte) *following {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	session, st, err := s.Acquire(ctx, "holder", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	st.Log.Position = position
	l, start, err := s.Tail(ctx, session, st)
	if err != nil {
		_ = session.Release(ctx)
		t.Fatal(err)
	}
	f := &following{Log: l, t: t, session: session, start: start, state: st}
	t.Cleanup(f.end)
	return f
}

func (f *following) end() {
	if f.session == nil {
		return
	}
	if err := f.Close(context.Background(), false); err != nil {
		f.t.Error(err)
	}
	if err := f.session.Release(context.Background()); err != nil && !strings.Contains(err.Error(), "bad connection") {
		f.t.Error(err)
	}
	f.session = nil
}

// batches reads until n rows have come.
func (f *following) batches(n, limit int) []relay.LogBatch {
	f.t.Helper()
	var all []relay.LogBatch
	for got := 0; got < n; {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		b, err := f.Next(ctx, limit, 1<<20)
		cancel()
		if err != nil {
			var had []string
			for _, b := range all {
				had = append(had, keys(b.Rows)...)
			}
			f.t.Fatalf("after %d of %d rows, %.100q: %v", got, n, had, err)
		}
		got += len(b.Rows)
		all = append(all, b)
		if got > n {
			f.t.Fatalf("%d rows came, %d were to come", got, n)
		}
	}
	return all
}

func (f *following) rows(n int) []relay.Row {
	f.t.Helper()
	var all []relay.Row
	for _, b := range f.batches(n, 1000) {
		all = append(all, b.Rows...)
	}
	return all
}

// failure reads until the log ends with an error.
func (f *following) failure() error {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		_, err := f.Next(ctx, 1000, 1<<20)
		if ctx.Err() != nil {
			f.t.Fatal("the log has not failed")
		}
		if err != nil {
			return err
		}
	}
}

func keys(rows []relay.Row) []string {
	var all []string
	for _, r := range rows {
		all = append(all, r.Message.Key)
	}
	return all
}

func wantKeys(t testing.TB, rows []relay.Row, want ...string) {
	t.Helper()
	if got := keys(rows); !slices.Equal(got, want) {
		t.Fatalf("rows came with keys %q, want %q", got, want)
	}
}

// insert is a statement that appends one row for each key.
func insert(table string, keys ...string) string {
	var values []string
	for _, key := range keys {
		values = append(values, fmt.Sprintf("('orders', '%s', 'OrderCreated', '{}')", key))
	}
	return "INSERT INTO " + table + " (channel, message_key, type, payload) VALUES " + strings.Join(values, ", ")
}

func appendTo(t testing.TB, db *mysql.DB, keys ...string) {
	t.Helper()
	exec(t, db, insert("tidings_outbox", keys...))
}

// conn returns one connection of the user's pool.
func conn(t testing.TB, db *mysql.DB) *sql.Conn {
	t.Helper()
	c, err := db.SQL().Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func on(t testing.TB, c *sql.Conn, statements ...string) {
	t.Helper()
	if err := run(context.Background(), c, statements...); err != nil {
		t.Fatal(err)
	}
}

func everything() relay.Query { return relay.Query{Limit: 1000} }
