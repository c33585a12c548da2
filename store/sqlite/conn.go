package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
	"time"

	"tidings.example/internal/sqlstore"
)

// shared is what all handles of this process on one file have together.
type shared struct {
	queue queue
	hub   sqlstore.Hub
}

// connector opens connections whose write transactions queue up and wake relays
// when they have appended to the outbox.
type connector struct {
	driver.Connector
	shared  *shared
	timeout time.Duration
}

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	base, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	inner, ok := base.(driverConn)
	if !ok {
		_ = base.Close()
		return nil, errors.New("the SQLite driver's connection lacks a method that this package needs")
	}
	return &conn{driverConn: inner, shared: c.shared, timeout: c.timeout, prepared: map[string]driver.Stmt{}}, nil
}

// driverConn is what database/sql uses of the driver's connection.
type driverConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// conn is one connection. database/sql lets one goroutine at a time use it.
type conn struct {
	driverConn
	shared  *shared
	timeout time.Duration
	// prepared keeps statements of this package, and those that begin and end
	// transactions; parsing them takes longer than running them.
	prepared map[string]driver.Stmt

	writing  bool // has the turn in the queue, between begin and end
	manual   bool // a transaction was begun by a statement
	appended bool // the transaction has appended to the outbox
}

const (
	beginSQL    = "BEGIN IMMEDIATE"
	commitSQL   = "COMMIT"
	rollbackSQL = "ROLLBACK"
)

// BeginTx takes the turn, unless the transaction is to read only.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if opts.ReadOnly {
		if _, err := c.run(ctx, "BEGIN DEFERRED"); err != nil {
			return nil, err
		}
		return &tx{c}, nil
	}
	if err := c.shared.queue.acquire(ctx, c.timeout); err != nil {
		return nil, err
	}
	if _, err := c.run(ctx, beginSQL); err != nil {
		c.shared.queue.release()
		return nil, err
	}
	c.writing, c.appended = true, false
	return &tx{c}, nil
}

// Begin is for old callers; database/sql calls BeginTx.
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// run runs one of the statements that are kept.
func (c *conn) run(ctx context.Context, query string, args ...driver.NamedValue) (driver.Result, error) {
	s, err := c.keep(query)
	if err != nil {
		return nil, err
	}
	return s.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (c *conn) keep(query string) (driver.Stmt, error) {
	if s, ok := c.prepared[query]; ok {
		return s, nil
	}
	s, err := c.driverConn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	c.prepared[query] = s
	return s, nil
}

// end gives the turn back.
func (c *conn) end() {
	if c.writing {
		c.writing = false
		c.shared.queue.release()
	}
}

// tx is a transaction. Its end does not watch the context: it takes no lock
// that another connection could hold for long.
type tx struct{ c *conn }

func (t *tx) Commit() error {
	_, err := t.c.run(context.Background(), commitSQL)
	if err != nil {
		// A commit that failed may leave the transaction open. The error of a
		// rollback that had nothing to roll back says nothing.
		_, _ = t.c.run(context.Background(), rollbackSQL)
	}
	t.c.end()
	if err == nil && t.c.appended {
		t.c.shared.hub.Notify()
	}
	t.c.appended = false
	return err
}

func (t *tx) Rollback() error {
	_, err := t.c.run(context.Background(), rollbackSQL)
	t.c.end()
	t.c.appended = false
	return err
}

// ExecContext queues for a single statement that writes, keeps the statements
// of this package, and notices appends.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	appends := sqlstore.Appends(query)
	if c.writing {
		c.appended = c.appended || appends
		return c.exec(ctx, query, args)
	}
	if c.takesManualControl(query) || c.manual || !writes(query) {
		return c.exec(ctx, query, args)
	}
	if err := c.shared.queue.acquire(ctx, c.timeout); err != nil {
		return nil, err
	}
	result, err := c.exec(ctx, query, args)
	c.shared.queue.release()
	if err == nil && appends {
		c.shared.hub.Notify()
	}
	return result, err
}

func (c *conn) exec(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if !own(query) {
		return c.driverConn.ExecContext(ctx, query, args)
	}
	if c.writing {
		// Short, and nothing to wait for: watching the context would cost a
		// goroutine for each statement.
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ctx = context.WithoutCancel(ctx)
	}
	return c.run(ctx, query, args...)
}

// QueryContext keeps the statements of this package. A kept statement can be
// read by one at a time: database/sql sees to that for a connection outside a
// transaction, and this package closes rows before it asks again.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if c.writing && sqlstore.Appends(query) { // INSERT ... RETURNING
		c.appended = true
	}
	if !own(query) {
		return c.driverConn.QueryContext(ctx, query, args)
	}
	s, err := c.keep(query)
	if err != nil {
		return nil, err
	}
	if c.writing {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ctx = context.WithoutCancel(ctx)
	}
	return s.(driver.StmtQueryContext).QueryContext(ctx, args)
}

// ResetSession is called before the connection is used again.
func (c *conn) ResetSession(ctx context.Context) error {
	c.manual = false
	return c.driverConn.ResetSession(ctx)
}

func (c *conn) Close() error {
	for _, s := range c.prepared {
		_ = s.Close()
	}
	clear(c.prepared)
	c.end()
	return c.driverConn.Close()
}

// Unwrap returns the driver's own connection, for callers of sql.Conn.Raw.
func (c *conn) Unwrap() driver.Conn { return c.driverConn }

// takesManualControl recognizes statements that begin and end transactions.
// Between them single statements must not queue, or the one that ends the
// transaction would wait for somebody who waits for it.
func (c *conn) takesManualControl(query string) bool {
	switch word := sqlstore.FirstWord(query); {
	case strings.EqualFold(word, "BEGIN"), strings.EqualFold(word, "SAVEPOINT"):
		c.manual = true
	case strings.EqualFold(word, "COMMIT"), strings.EqualFold(word, "END"), strings.EqualFold(word, "ROLLBACK"):
		c.manual = false
	default:
		return false
	}
	return true
}

// writes recognizes a single statement for which it pays to queue up. What it
// does not recognize is right all the same, and waits in SQLite's own way.
func writes(query string) bool {
	switch strings.ToUpper(sqlstore.FirstWord(query)) {
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "CREATE", "DROP", "ALTER":
		return true
	}
	return false
}

// mark begins the statements of this package, which are all constant and are
// therefore kept. It also tells people who wrote a statement that they find in
// a log.
const mark = "/* tidings */ "

func own(query string) bool { return strings.HasPrefix(query, mark) }
