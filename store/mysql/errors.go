package mysql

import (
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	driver "github.com/go-sql-driver/mysql"
)

// The server's error numbers that this package tells apart.
const (
	codeDiskFull           = 1021
	codeTooManyConnections = 1040
	codeDBAccessDenied     = 1044
	codeAccessDenied       = 1045
	codeUnknownDatabase    = 1049
	codeServerShutdown     = 1053
	codeTableFull          = 1114
	codeNoSuchTable        = 1146
	codeAborted            = 1152
	codeNetPackets         = 1158 // and the following up to 1161
	codeLockWait           = 1205
	codeDeadlock           = 1213
	codeReadOnlyOption     = 1290
	codeInterrupted        = 1317
	codeReadOnly           = 1792
	codeReadOnlyMode       = 1836
	codeChanged            = 1020 // "Record has changed since last read", MariaDB
	codeKilled             = 1927
	codeMaxStatementTime   = 1969
	codeQueryTimeout       = 3024
	codeNoWait             = 3572
	codeAdminShutdown      = 1077
	codeDisconnected       = 4031 // by the server, for inactivity
	codeGaleraNotReady     = 1047
	codeTableAccessDenied  = 1142
	codeColumnAccessDenied = 1143
	codeLacksPrivilege     = 1227
	codeNoBinaryLog        = 1381
)

func code(err error) int {
	var e *driver.MySQLError
	if errors.As(err, &e) {
		return int(e.Number)
	}
	return 0
}

// transient reports whether the same may succeed later.
func transient(err error) bool {
	var netErr net.Error
	if errors.Is(err, sqldriver.ErrBadConn) || errors.Is(err, driver.ErrInvalidConn) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &netErr) {
		return true
	}
	switch n := code(err); n {
	case codeDeadlock, codeLockWait, codeChanged, codeNoWait, // other transactions
		codeServerShutdown, codeAdminShutdown, codeKilled, codeDisconnected, codeAborted, codeTooManyConnections,
		codeInterrupted, codeQueryTimeout, codeMaxStatementTime, codeGaleraNotReady, // the server
		codeDiskFull, codeTableFull, // somebody may make room
		codeReadOnlyOption, codeReadOnly, codeReadOnlyMode: // a fail-over is under way
		return true
	default:
		return n >= codeNetPackets && n <= codeNetPackets+3
	}
}

// explain says what to do about an error of connecting.
func explain(err error) error {
	var netErr net.Error
	switch code(err) {
	case codeAccessDenied:
		return fmt.Errorf("user or password is wrong: %w", err)
	case codeDBAccessDenied:
		return fmt.Errorf("the user may not use the database: %w", err)
	case codeUnknownDatabase:
		return fmt.Errorf("create the database first: %w", err)
	case codeTooManyConnections:
		return fmt.Errorf("the server has no connection left: %w", err)
	}
	if errors.As(err, &netErr) {
		return fmt.Errorf("cannot reach the server: %w", err)
	}
	if errors.Is(err, driver.ErrNoTLS) {
		return fmt.Errorf("%w: use tls=preferred or tls=false", err)
	}
	return err
}
