package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// server is what a server says of itself.
type server struct {
	mariadb bool
	version string
	// place names server and database for this process.
	place string
}

func examine(ctx context.Context, pool *sql.DB) (server, error) {
	var s server
	var database sql.NullString
	var host string
	var port int
	err := pool.QueryRowContext(ctx, "SELECT VERSION(), @@hostname, @@port, DATABASE()").Scan(&s.version, &host, &port, &database)
	if err != nil {
		return s, err
	}
	if !database.Valid {
		return s, errors.New("no database is selected: name it in the connection's settings")
	}
	s.mariadb = strings.Contains(strings.ToLower(s.version), "mariadb")
	s.place = fmt.Sprintf("%s:%d/%s", host, port, database.String)
	return s, s.checkVersion()
}

var versionPattern = regexp.MustCompile(`(\d+)\.(\d+)\.(\d+)`)

// checkVersion refuses servers without what the tables need: expressions as
// defaults, and on MariaDB the fixes to row locks that came with 10.6.
func (s *server) checkVersion() error {
	// Old MariaDB servers put a version of MySQL before their own.
	parts := versionPattern.FindStringSubmatch(strings.TrimPrefix(s.version, "5.5.5-"))
	if parts == nil {
		return fmt.Errorf("the server's version %q cannot be read: MySQL 8.0.13 or MariaDB 10.6 is needed", s.version)
	}
	number := 0
	for _, part := range parts[1:] {
		n, err := strconv.Atoi(part)
		if err != nil {
			return fmt.Errorf("the server's version %q cannot be read: %w", s.version, err)
		}
		number = number*1000 + n
	}
	switch {
	case s.mariadb && number < 10_006_000:
		return fmt.Errorf("the server is MariaDB %s: 10.6 or later is needed", s.version)
	case !s.mariadb && number < 8_000_013:
		return fmt.Errorf("the server is MySQL %s: 8.0.13 or later is needed", s.version)
	}
	return nil
}

const (
	mysqlIdentitySQL = `SELECT CONCAT('mysql ', @@server_uuid, ' ', DATABASE(), ' ', COALESCE(UNIX_TIMESTAMP(create_time), 0))
	FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'tidings_relay'`

	// MariaDB's server_uid changes with the network card, that is with every
	// new container, and old versions have none.
	mariadbIdentitySQL = `SELECT CONCAT('mariadb ', @@hostname, ':', @@port, ' ', @@server_id, ' ', DATABASE(), ' ',
		COALESCE(UNIX_TIMESTAMP(create_time), 0))
	FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'tidings_relay'`
)

// identity is what tells this database from a copy and from what was restored:
// the server, the database's name, and when the tables were made there.
func (db *DB) identity(ctx context.Context, q rowQueryer) (string, error) {
	query := mysqlIdentitySQL
	if db.server.mariadb {
		query = mariadbIdentitySQL
	}
	var s string
	if err := q.QueryRowContext(ctx, query).Scan(&s); err != nil {
		return "", fmt.Errorf("identify the database: %w", err)
	}
	return s, nil
}

// rowQueryer is a pool, a connection or a transaction.
type rowQueryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}
