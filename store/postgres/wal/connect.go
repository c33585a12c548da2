package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"tidings.example/store/postgres"
)

// sessionSettings are what the decoder expects of texts, which servers before
// version 14 send.
var sessionSettings = map[string]string{"replication": "database", "client_encoding": "UTF8", "DateStyle": "ISO", "TimeZone": "UTC",
	"bytea_output": "hex", "statement_timeout": "0"}

// connect opens a connection for replication, with all settings of the pool's
// connections: hosts, TLS, password.
func connect(ctx context.Context, db *postgres.DB) (*pgconn.PgConn, *framer, error) {
	pool, err := db.ConnectConfig(ctx)
	if err != nil {
		return nil, nil, err
	}
	config := pool.Config.Copy()
	for name := range config.RuntimeParams {
		for ours := range sessionSettings {
			if strings.EqualFold(name, ours) {
				delete(config.RuntimeParams, name)
			}
		}
	}
	for name, value := range sessionSettings {
		config.RuntimeParams[name] = value
	}
	if config.ValidateConnect != nil {
		// What pgconn would ask is in a protocol that such connections do not
		// speak. Only a primary will do in any case.
		config.ValidateConnect = isPrimary
	}
	config.AfterConnect, config.OnNotification = nil, nil
	var frames *framer
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		frames = &framer{from: r}
		return pgproto3.NewFrontend(frames, w)
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, nil, explainStart(pool, err)
	}
	return conn, frames, nil
}

func isPrimary(ctx context.Context, conn *pgconn.PgConn) error {
	results, err := conn.Exec(ctx, "SELECT pg_is_in_recovery()").ReadAll()
	if err != nil {
		return fmt.Errorf("ask for the server's role: %w", err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || string(results[0].Rows[0][0]) != "f" {
		return errors.New("the server is a standby")
	}
	return nil
}

// explainStart says what to do when a connection for replication is refused.
func explainStart(config *pgx.ConnConfig, err error) error {
	explained := postgres.ExplainConnect(config, err)
	role := pgx.Identifier{config.User}.Sanitize()
	switch code := codeOf(err); {
	case code == "42501":
		return fmt.Errorf("%w: to read the log the role needs REPLICATION; as a superuser run: ALTER ROLE %s REPLICATION", explained, role)
	case code == "53300" && strings.Contains(err.Error(), "max_wal_senders"):
		return fmt.Errorf("%w: raise max_wal_senders in postgresql.conf and restart the server", explained)
	}
	return explained
}

// codeOf is the SQLSTATE of an error, or empty.
func codeOf(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
