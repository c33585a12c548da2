package binlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// All that differs between MySQL and MariaDB, and between their versions, is
// here. What is said of MySQL is from its documentation.

func (s *Source) flavor() string {
	if s.access.MariaDB() {
		return gomysql.MariaDBFlavor
	}
	return gomysql.MySQLFlavor
}

// grants are the statements that give a user what it needs.
func (s *Source) grants() string {
	if s.access.MariaDB() {
		return "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO the user"
	}
	return "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO the user, and GRANT LOCK TABLES on the database"
}

// settings are what the server says of its log.
type settings struct {
	on, gtid, fold          bool
	format, image, metadata string
	identity                string // of the server, for positions without GTIDs
	expire                  float64
	sync                    int64
}

// settings reads what the server says of its log.
func (s *Source) settings(ctx context.Context) (settings, error) {
	var v settings
	var lower int
	pool := s.access.Pool()
	err := pool.QueryRowContext(ctx, `SELECT @@log_bin, @@GLOBAL.binlog_format, @@GLOBAL.binlog_row_image, @@lower_case_table_names, @@GLOBAL.sync_binlog`).
		Scan(&v.on, &v.format, &v.image, &lower, &v.sync)
	if err != nil {
		return v, fmt.Errorf("read the server's settings of its log: %w", err)
	}
	v.fold = lower != 0
	v.metadata, _ = s.variable(ctx, "binlog_row_metadata")
	if text, err := s.variable(ctx, "binlog_expire_logs_seconds"); err == nil && text != "" {
		_, err = fmt.Sscan(text, &v.expire)
		if err != nil {
			return v, fmt.Errorf("read binlog_expire_logs_seconds: %w", err)
		}
	}
	if days, err := s.variable(ctx, "expire_logs_days"); err == nil && v.expire == 0 && days != "" {
		var n float64
		if _, err := fmt.Sscan(days, &n); err == nil {
			v.expire = n * 24 * 3600
		}
	}
	if s.access.MariaDB() {
		v.gtid = true
		// A file and an offset are worth nothing on another server.
		err := pool.QueryRowContext(ctx, "SELECT CONCAT(@@hostname, ':', @@port, '-', @@server_id)").Scan(&v.identity)
		return v, err
	}
	mode, err := s.variable(ctx, "gtid_mode")
	v.gtid = strings.EqualFold(mode, "ON")
	if err == nil {
		v.identity, err = s.variable(ctx, "server_uuid")
	}
	return v, err
}

// variable returns a setting, or "" where the server has none of this name.
func (s *Source) variable(ctx context.Context, name string) (string, error) {
	var key, value string
	err := s.access.Pool().QueryRowContext(ctx, "SHOW GLOBAL VARIABLES WHERE variable_name = ?", name).Scan(&key, &value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return value, nil
}

// querier is a pool or a connection.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// end is where the log ends now.
func (s *Source) end(ctx context.Context, q querier) (file string, at int64, set string, err error) {
	query := "SHOW MASTER STATUS"
	if !s.access.MariaDB() && newStatus(s.access.Version()) {
		query = "SHOW BINARY LOG STATUS" // since MySQL 8.2; the other is gone since 8.4
	}
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return "", 0, "", fmt.Errorf("ask where the log ends: %w", s.explain(err))
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", 0, "", err
	}
	values := make([]sql.RawBytes, len(columns))
	targets := make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	if !rows.Next() {
		return "", 0, "", errors.Join(errors.New("the server has no binary log: set log_bin and restart it"), rows.Err())
	}
	if err := rows.Scan(targets...); err != nil {
		return "", 0, "", err
	}
	for i, name := range columns {
		switch strings.ToLower(name) {
		case "file":
			file = string(values[i])
		case "position":
			if _, err := fmt.Sscan(string(values[i]), &at); err != nil {
				return "", 0, "", fmt.Errorf("read where the log ends: %w", err)
			}
		case "executed_gtid_set":
			set = string(values[i])
		}
	}
	return file, at, set, rows.Err()
}

// newStatus tells whether a MySQL has SHOW BINARY LOG STATUS.
func newStatus(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 8 || major == 8 && minor >= 2
}

// snapshotPlace is where the log was when the transaction of conn took its
// snapshot: MariaDB knows, to the byte.
func snapshotPlace(ctx context.Context, conn *sql.Conn) (file string, at int64, err error) {
	var name string
	for _, v := range []struct {
		variable string
		value    any
	}{{"binlog_snapshot_file", &file}, {"binlog_snapshot_position", &at}} {
		if err := conn.QueryRowContext(ctx, "SHOW STATUS LIKE '"+v.variable+"'").Scan(&name, v.value); err != nil {
			return "", 0, fmt.Errorf("read %s: %w", v.variable, err)
		}
	}
	return file, at, nil
}

// A pending is a set of GTIDs that is known for a later place than the one where
// a reader is. MariaDB says where in its files a snapshot is, and not which GTIDs that
// is; its function for it fails where the log holds large events. But a
// reader that reaches the later place has seen all that changed up to there.
type pending struct {
	set  *gtidSet
	file string
	at   int64
}

func (p *pending) reachedBy(now *place) bool {
	return later(now.file, p.file) || now.file == p.file && now.at >= p.at
}

// pending is for MariaDB.
func (s *Source) pending(ctx context.Context) (*pending, error) {
	var text string
	if err := s.access.Pool().QueryRowContext(ctx, "SELECT @@GLOBAL.gtid_binlog_pos").Scan(&text); err != nil {
		return nil, fmt.Errorf("read gtid_binlog_pos: %w", err)
	}
	set, err := parseSet(text, true)
	if err != nil {
		return nil, err
	}
	file, at, _, err := s.end(ctx, s.access.Pool())
	return &pending{set, file, at}, err
}

// heldBack tells whether transactions are prepared (XA) and not ended. A MySQL
// says so only to those with XA_RECOVER_ADMIN.
func heldBack(ctx context.Context, conn *sql.Conn) (bool, error) {
	rows, err := conn.QueryContext(ctx, "XA RECOVER")
	if err != nil {
		return false, fmt.Errorf("look for prepared transactions: %w", err)
	}
	defer rows.Close()
	return rows.Next(), rows.Err()
}

// running are the statements that run now. MariaDB has numbers for them; MySQL
// has when they began, to the second, so that one may be waited for in vain for a
// while where a connection runs one statement after the other.
func (s *Source) running(ctx context.Context, conn *sql.Conn) (map[string]bool, error) {
	name := "CONCAT(id, ' ', UNIX_TIMESTAMP() - COALESCE(time, 0))"
	if s.access.MariaDB() {
		name = "CONCAT(id, ' ', query_id)"
	}
	return list(ctx, conn, "SELECT "+name+` FROM information_schema.processlist
		WHERE command NOT IN ('Sleep', 'Binlog Dump', 'Binlog Dump GTID', 'Daemon') AND id <> CONNECTION_ID()`)
}
