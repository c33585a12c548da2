package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"tidings.example/internal/servertest"
)

func TestTransient(t *testing.T) {
	t.Parallel()
	code := func(code string) error { return fmt.Errorf("handle: %w", &pgconn.PgError{Code: code}) }
	cases := []struct {
		err  error
		want bool
	}{
		{code("40001"), true}, {code("40P01"), true}, {code("08006"), true}, {code("53300"), true}, {code("53100"), true},
		{code("55P03"), true}, {code("57014"), true}, {code("57P01"), true}, {code("57P03"), true}, {code("25006"), true},
		{code("23505"), false}, {code("23503"), false}, {code("22001"), false}, {code("42P01"), false}, {code("42501"), false}, {code("25P02"), false}, {code(""), false},
		{&pgconn.PgError{Code: "23505", TableName: "tidings_inbox_seen"}, true},
		{&lostError{io.ErrUnexpectedEOF}, true},
		{fmt.Errorf("x: %w", pgconn.ErrConnClosed), true},
		{driver.ErrBadConn, true},
		// The handler's own dealings with other servers are not this database's.
		{io.ErrUnexpectedEOF, false},
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, false},
		{errors.New("no credit"), false},
	}
	for _, c := range cases {
		if got := transient(c.err); got != c.want {
			t.Errorf("transient(%v) = %v", c.err, got)
		}
	}
}

const secret = "s3cr3t"

// TestOpenErrors: one line, that says what and where, without the password.
func TestOpenErrors(t *testing.T) {
	t.Parallel()
	server, err := url.Parse(servertest.Postgres(t))
	if err != nil {
		t.Fatal("the URL of the test server cannot be parsed")
	}
	with := func(change func(u *url.URL, q url.Values)) string {
		u, q := *server, server.Query()
		u.User = url.UserPassword(server.User.Username(), secret)
		change(&u, q)
		u.RawQuery = q.Encode()
		return u.String()
	}
	right := func(u *url.URL) { u.User = server.User }
	cases := []struct{ name, url, want string }{
		{"no URL", "", "URL is empty"},
		{"nonsense", "postgres://app:" + secret + "@host:port/db", "invalid port"},
		{"no URL at all", "host=x password='" + secret + " y", "percent-encoded"},
		{"bad sslmode", "postgres://app:" + secret + "@host/db?sslmode=maybe", "sslmode is invalid"},
		{"bad pool size", "postgres://app:" + secret + "@host/db?pool_max_conns=none", "pool_max_conns"},
		{"nobody listens", "postgres://app:" + secret + "@127.0.0.1:1/db", "127.0.0.1:1"},
		{"no such host", "postgres://app:" + secret + "@nowhere.invalid/db", "nowhere.invalid"},
		{"wrong password", with(func(*url.URL, url.Values) {}), "check user and password"},
		{"no such database", with(func(u *url.URL, _ url.Values) { right(u); u.Path = "/nowhere" }), "create it, or name another"},
		{"unknown parameter", with(func(u *url.URL, q url.Values) { right(u); q.Set("sslmod", "x") }), `"sslmod"`},
		{"bad setting", with(func(u *url.URL, q url.Values) { right(u); q.Set("statement_timeout", "soon") }), "statement_timeout"},
	}
	for _, c := range cases {
		db, err := Open(context.Background(), Config{URL: c.url})
		if err == nil {
			// A server that trusts its own host takes any password.
			if c.name != "wrong password" {
				t.Errorf("%s: no error", c.name)
			}
			_ = db.Close()
			continue
		}

		for e := err; e != nil; e = errors.Unwrap(e) {
			if _, isDescribed := e.(*described); isDescribed {
				break // below it is the driver's own
			}
			if strings.Contains(e.Error(), secret) {
				t.Errorf("%s: the error holds the password", c.name)
			}
		}
		if text := err.Error(); !strings.Contains(text, c.want) || strings.Contains(text, "\n") || strings.Contains(text, secret) || !strings.HasPrefix(text, "open postgres: ") {
			t.Errorf("%s: %q, want one line with %q", c.name, text, c.want)
		}
	}
}
