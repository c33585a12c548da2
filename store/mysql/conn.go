package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"

	"tidings.example/internal/sqlstore"
)

// connector opens connections that wake the relays of this process when a
// transaction that has appended to the outbox is committed.
type connector struct {
	driver.Connector
	hub *sqlstore.Hub
	// setup is run once on each new connection.
	setup []string
}

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	base, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	inner, ok := base.(driverConn)
	if !ok {
		_ = base.Close()
		return nil, errors.New("the MySQL driver's connection lacks a method that this package needs")
	}
	for _, statement := range c.setup {
		if _, err := inner.ExecContext(ctx, statement, nil); err != nil {
			_ = base.Close()
			return nil, err
		}
	}
	return &conn{driverConn: inner, hub: c.hub, kept: map[string]driver.Stmt{}}, nil
}

// driverConn is what database/sql uses of the driver's connection.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

// conn is one connection. database/sql lets one goroutine at a time use it.
type conn struct {
	driverConn
	hub *sqlstore.Hub
	// kept are prepared statements of this package: the server parses them
	// once for each connection, and they take one round trip.
	kept     map[string]driver.Stmt
	inTx     bool
	appended bool
}

func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	inner, err := c.driverConn.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	c.inTx, c.appended = true, false
	return &tx{inner, c}, nil
}

type tx struct {
	driver.Tx
	c *conn
}

func (t *tx) Commit() error {
	err := t.Tx.Commit()
	if err == nil && t.c.appended {
		t.c.hub.Notify()
	}
	t.c.inTx, t.c.appended = false, false
	return err
}

func (t *tx) Rollback() error {
	t.c.inTx, t.c.appended = false, false
	return t.Tx.Rollback()
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	appends := sqlstore.Appends(query)
	c.appended = c.inTx && (c.appended || appends)
	result, err := c.exec(ctx, query, args)
	if err == nil && appends && !c.inTx {
		c.hub.Notify()
	}
	return result, err
}

func (c *conn) exec(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if !strings.HasPrefix(query, mark) {
		return c.driverConn.ExecContext(ctx, query, args)
	}
	s, err := c.keep(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.(driver.StmtExecContext).ExecContext(ctx, args)
}

// QueryContext notices INSERT ... RETURNING.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.appended = c.inTx && (c.appended || sqlstore.Appends(query))
	if !strings.HasPrefix(query, mark) {
		return c.driverConn.QueryContext(ctx, query, args)
	}
	s, err := c.keep(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.(driver.StmtQueryContext).QueryContext(ctx, args)
}

func (c *conn) keep(ctx context.Context, query string) (driver.Stmt, error) {
	if s, ok := c.kept[query]; ok {
		return s, nil
	}
	s, err := c.driverConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	c.kept[query] = s
	return s, nil
}

// mark begins those statements of this package that are run often and whose
// text is always the same. It also tells people who wrote a statement that
// they find in a log.
const mark = "/* tidings */ "

// marked marks a statement that is built for n values where n is 1, as it
// mostly is: the others are too many to be kept.
func marked(query string, n int) string {
	if n == 1 {
		return mark + query
	}
	return query
}

// Unwrap returns the driver's own connection, for callers of sql.Conn.Raw.
func (c *conn) Unwrap() driver.Conn { return c.driverConn }
