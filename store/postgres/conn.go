package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// openSQL returns the pool for database/sql. Its connections keep appends to the
// outbox back and send them together with the statement that comes next, which is
// the commit in most transactions: an append then costs no round trip of its
// own, and takes its position at the last moment, which keeps positions in the
// order of commits. Other statements, savepoints and roll-backs find the rows
// where they expect them.
func openSQL(pool *pgxpool.Pool) *sql.DB {
	db := sql.OpenDB(connector{stdlib.GetPoolConnector(pool)})
	db.SetMaxIdleConns(0) // the idle ones are in the pool
	return db
}

type connector struct{ driver.Connector }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	pgxConn, ok := inner.(*stdlib.Conn)
	if !ok {
		_ = inner.Close()
		return nil, errors.New("the driver's connection is not one of pgx")
	}
	return &conn{inner: pgxConn}, nil
}

// conn is one connection. database/sql lets one goroutine at a time use it.
type conn struct {
	inner *stdlib.Conn
	inTx  bool
	// pending are the appends that were not sent.
	pending      []statement
	pendingBytes int
}

var (
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
)

// maxPending bounds what is kept back, in bytes of payload.
const maxPending = 1 << 20

// Conn returns pgx's connection, for callers of sql.Conn.Raw, as that of
// pgx's stdlib does.
func (c *conn) Conn() *pgx.Conn { return c.inner.Conn() }

// keep keeps an append back. The payloads are copied: the caller may change
// them after the append.
func (c *conn) keep(query string, argsV []driver.NamedValue) {
	args := make([]any, len(argsV))
	for i, v := range argsV {
		switch b := v.Value.(type) {
		case []byte:
			args[i] = slices.Clone(b)
			c.pendingBytes += len(b)
		case [][]byte:
			all := make([][]byte, len(b))
			for j := range b {
				all[j] = slices.Clone(b[j])
				c.pendingBytes += len(b[j])
			}
			args[i] = all
		default:
			args[i] = v.Value
		}
	}
	c.pending = append(c.pending, statement{sql: query, args: args})
}

// flush sends what was kept back, and with it more statements, in one round trip.
func (c *conn) flush(ctx context.Context, more ...statement) error {
	n := len(c.pending)
	all := append(c.pending, more...)
	c.forget()
	if len(all) == 0 {
		return nil
	}
	at, err := pgxRunner{c.inner.Conn()}.runAt(ctx, all...)
	if err != nil && at < n {
		return fmt.Errorf("append to outbox: %w", err)
	}
	return err
}

func (c *conn) forget() { c.pending, c.pendingBytes = nil, 0 }

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if c.inTx && appends[query] {
		c.keep(query, args)
		if c.pendingBytes < maxPending {
			return driver.RowsAffected(1), nil
		}
		return driver.RowsAffected(1), c.flush(ctx)
	}
	if len(c.pending) > 0 && len(args) > 0 {
		var n int64
		s := statement{sql: query, args: make([]any, len(args)), affected: &n}
		for i, v := range args {
			s.args[i] = v.Value
		}
		err := c.flush(ctx, s)
		return driver.RowsAffected(n), err
	}
	// Without parameters it may be several statements in one text.
	if err := c.flush(ctx); err != nil {
		return nil, err
	}
	return c.inner.ExecContext(ctx, query, args)
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.flush(ctx); err != nil {
		return nil, err
	}
	return c.inner.QueryContext(ctx, query, args)
}

func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	inner, err := c.inner.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	c.forget()
	c.inTx = true
	return &tx{ctx: ctx, c: c, inner: inner}, nil
}

// Begin is for old callers; database/sql calls BeginTx.
func (c *conn) Begin() (driver.Tx, error) { return c.BeginTx(context.Background(), driver.TxOptions{}) }

func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	inner, err := c.inner.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	pgxStmt, ok := inner.(*stdlib.Stmt)
	if !ok {
		_ = inner.Close()
		return nil, errors.New("the driver's statement is not one of pgx")
	}
	return &stmt{Stmt: pgxStmt, c: c}, nil
}

func (c *conn) CheckNamedValue(v *driver.NamedValue) error { return c.inner.CheckNamedValue(v) }

func (c *conn) Ping(ctx context.Context) error { return c.inner.Ping(ctx) }

func (c *conn) ResetSession(ctx context.Context) error {
	c.forget()
	c.inTx = false
	return c.inner.ResetSession(ctx)
}

func (c *conn) Close() error {
	c.forget()
	return c.inner.Close()
}

// tx is a transaction. Its context is BeginTx's, as database/sql gives Commit none.
type tx struct {
	ctx   context.Context
	c     *conn
	inner driver.Tx
}

func (t *tx) Commit() error {
	t.c.inTx = false
	if len(t.c.pending) == 0 {
		return t.inner.Commit()
	}
	if err := t.c.flush(t.ctx, statement{sql: "commit"}); err != nil {
		// The error that the roll-back may have says less.
		_ = t.inner.Rollback()
		return err
	}
	return nil
}

func (t *tx) Rollback() error {
	t.c.inTx = false
	t.c.forget()
	return t.inner.Rollback()
}

// stmt is a prepared statement.
type stmt struct {
	*stdlib.Stmt
	c *conn
}

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.c.flush(ctx); err != nil {
		return nil, err
	}
	return s.Stmt.ExecContext(ctx, args)
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.c.flush(ctx); err != nil {
		return nil, err
	}
	return s.Stmt.QueryContext(ctx, args)
}
