package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tidings.example/saga"
)

// A described error says what people need to know instead of what the driver
// says, in one line, and still wraps the driver's.
type described struct {
	text string
	err  error
}

func (d *described) Error() string { return d.text }
func (d *described) Unwrap() error { return d.err }

// explainURL returns a text without any part of the URL that could be a secret.
// It does not wrap the driver's error, which has the whole of it.
func explainURL(err error) error {
	text := err.Error()
	if i := strings.LastIndex(text, "`: "); i >= 0 {
		text = text[i+len("`: "):]
	}
	if strings.HasPrefix(text, "failed to parse as") || strings.HasPrefix(text, "cannot parse") && strings.Contains(text, "`") {
		text = "write postgres://user:password@host:port/database, with special characters percent-encoded"
	}
	return fmt.Errorf("the URL cannot be used: %s", oneLine(text))
}

// address names a server for people.
func address(c *pgx.ConnConfig) string {
	if strings.HasPrefix(c.Host, "/") {
		return c.Host
	}
	return fmt.Sprintf("%s:%d", c.Host, c.Port)
}

// explainConnect says where it was that no connection could be made, and why.
func explainConnect(c *pgx.ConnConfig, err error) error {
	var reason string
	var e *pgconn.PgError
	if errors.As(err, &e) {
		reason = e.Message
		switch e.Code {
		case "42704", "22023":
			reason += ": remove or correct it in the URL"
		case "3D000":
			reason += ": create it, or name another one in the URL"
		case "28P01", "28000":
			reason += ": check user and password"
		}
	} else {
		reason = attempts(err)
	}
	return &described{text: fmt.Sprintf("cannot connect to database %q at %s as %q: %s", c.Database, address(c), c.User, oneLine(reason)), err: err}
}

// attempts returns the reasons of all attempts, each once: a host can have
// several addresses, and each is tried with and without TLS.
func attempts(err error) string {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		err = errors.Unwrap(connect)
	}
	var reasons []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(reasons, line) {
			reasons = append(reasons, line)
		}
	}
	return strings.Join(reasons, "; ")
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// lostError is an error after which the connection was gone.
type lostError struct{ err error }

func (l *lostError) Error() string { return l.err.Error() }
func (l *lostError) Unwrap() error { return l.err }

// codeOf is the SQLSTATE of an error, or empty.
func codeOf(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// transient reports whether the same may succeed later.
func transient(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return transientCode(e)
	}
	var lost *lostError
	var connect *pgconn.ConnectError
	return errors.Is(err, saga.ErrConflict) || errors.As(err, &lost) || errors.As(err, &connect) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, driver.ErrBadConn) || pgconn.SafeToRetry(err) || pgconn.Timeout(err)
}

func transientCode(e *pgconn.PgError) bool {
	switch e.Code[:min(2, len(e.Code))] {
	case "08", // connection
		"40", // deadlock, serialization failure
		"53", // too many connections, disk full, out of memory
		"58": // the server's own input and output
		return true
	}
	switch e.Code {
	case "55P03", // lock timeout
		"57014",                            // statement timeout
		"57P01", "57P02", "57P03", "57P05", // the server stops or starts
		"25P03", "25P04", // other timeouts of the session
		"25006": // the server has become a standby
		return true
	case "23505":
		// Two transactions have handled one message without a lane at the
		// same time; the one that was later finds it seen.
		return e.TableName == "tidings_inbox_seen"
	}
	return false
}

// advise adds to the error of a statement what to do about missing tables.
func (db *DB) advise(ctx context.Context, err error) error {
	switch codeOf(err) {
	case "42P01", "42703", "42883": // table, column, function
		if missing := db.Ready(ctx); missing != nil {
			return &described{text: missing.Error(), err: err}
		}
	}
	return err
}
