package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	driver "github.com/go-sql-driver/mysql"

	"tidings.example/relay"
)

// A LogAccess is what package binlog needs of a DB, and nobody else.
type LogAccess struct{ db *DB }

// LogAccess returns what a reader of the server's binary log needs. The error
// says so where the DB was made by New: the log needs connections of its own
// kind, which cannot be had from a pool.
func (db *DB) LogAccess() (*LogAccess, error) {
	if db.config == nil {
		return nil, errors.New("the binary log cannot be read through a pool of the user's: use mysql.Open with a URL for the relay")
	}
	return &LogAccess{db}, nil
}

// Config returns a copy of the connection's settings, with the password.
func (a *LogAccess) Config() *driver.Config { return a.db.config.Clone() }

// MariaDB tells whether the server is a MariaDB; else it is a MySQL.
func (a *LogAccess) MariaDB() bool { return a.db.server.mariadb }

// Version is what the server says of its version.
func (a *LogAccess) Version() string { return a.db.server.version }

// Pool returns connections whose transactions are READ COMMITTED.
func (a *LogAccess) Pool() *sql.DB { return a.db.inbox }

// Explain says what to do about an error of connecting.
func (a *LogAccess) Explain(err error) error { return explain(err) }

// Read returns rows of the outbox as Session.Read does, in whatever transaction
// is open on conn.
func (a *LogAccess) Read(ctx context.Context, conn *sql.Conn, q relay.Query) ([]relay.Row, error) {
	s := &session{db: a.db, conn: conn, large: true}
	return s.Read(ctx, q)
}

// LockName is the name of the server's lock that the connection of a holder has,
// which reads the log with this fence. Locks belong to the server, not to a database.
func (a *LogAccess) LockName(fence int64) string {
	sum := sha256.Sum256([]byte(a.db.config.DBName))
	return fmt.Sprintf("tidings.%x.%d", sum[:12], fence)
}

// HoldLock takes the lock that shows that the holder lives, on the session's own
// connection: the server frees it when that connection ends. The session must
// be one of this package.
//
// The lock only makes a take-over quick. It protects nothing, so an error means
// no more than that a take-over will wait for the end of the lease.
func (a *LogAccess) HoldLock(ctx context.Context, held relay.Session) error {
	s, ok := held.(*session)
	if !ok {
		return fmt.Errorf("the session is a %T, not one of this store", held)
	}
	var got sql.NullInt64
	err := s.conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, 0)", a.LockName(s.fence)).Scan(&got)
	if err == nil && got.Int64 != 1 {
		err = errors.New("another connection has it")
	}
	if err != nil {
		return fmt.Errorf("take the lock of the log's reader: %w", err)
	}
	return nil
}

// Alone returns the fence of the lease, and whether its holder reads the log but
// has no connection to the server any more: it is dead, or about to be fenced.
func (a *LogAccess) Alone(ctx context.Context, source string) (fence int64, dead bool, err error) {
	var reading string
	err = a.db.inbox.QueryRowContext(ctx, "SELECT fence, reading FROM tidings_relay, tidings_relay_log WHERE source = ?", source).Scan(&fence, &reading)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil || reading != string(relay.FromLog) {
		return fence, false, err
	}
	var free sql.NullInt64
	err = a.db.inbox.QueryRowContext(ctx, "SELECT IS_FREE_LOCK(?)", a.LockName(fence)).Scan(&free)
	return fence, free.Int64 == 1, err
}

// EndLease ends the lease with this fence, as if its time were over.
func (a *LogAccess) EndLease(ctx context.Context, source string, fence int64) error {
	_, err := a.db.inbox.ExecContext(ctx, "UPDATE tidings_relay SET expires_at = UTC_TIMESTAMP(6) WHERE source = ? AND fence = ?", source, fence)
	return err
}
