package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tidings.example/internal/sqlstore"
	"tidings.example/outbox"
	"tidings.example/relay"
)

// Config says which database to open.
type Config struct {
	// URL is postgres://user:password@host:port/database, with the parameters of
	// libpq and those of pgxpool (pool_max_conns and its like, which is 16 by
	// default, as many as an inbox has transactions); what it leaves out comes
	// from the environment (PGHOST, PGPASSWORD ...). Any other parameter is a
	// setting of the session, as in search_path=orders. The parameter append is
	// table, delete or log: see Append. Required.
	URL string
	// MaxPayload bounds payloads of appended messages, in bytes. Default
	// outbox.DefaultMaxPayload.
	MaxPayload int
	// Append is how messages are appended; default AppendTable. With any other
	// way, opening is an error unless the outbox is read from the log.
	Append Append
}

// A DB is a database with the tables of Tidings. Its methods may be called by
// several goroutines.
type DB struct {
	pool       *pgxpool.Pool
	sql        *sql.DB
	owned      bool // the pool is ours to close
	maxPayload int
	append     Append
	reads      sqlstore.Recheck // of those that append past the table
}

// defaultConns is the default of inbox.Config's Concurrency.
const defaultConns = 16

// Open connects to the database and checks its version. It does not look for the
// tables: see [DB.Migrate] and [DB.Ready]. Errors are one line, name the
// server and hold no password.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if cfg.URL == "" {
		return nil, errors.New("open postgres: URL is empty: give postgres://user:password@host:port/database")
	}
	cfg, err := appendOf(cfg)
	if err != nil {
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	config, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("open postgres: %w", explainURL(err))
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "tidings"
	}
	if !strings.Contains(cfg.URL, "pool_max_conns") {
		config.MaxConns = max(config.MaxConns, defaultConns)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open postgres: %w", explainConnect(config.ConnConfig, err))
	}
	db := New(pool)
	db.owned = true
	if err := db.configure(ctx, cfg); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	return db, nil
}

// New uses a pool of the program's own, which stays the program's to close,
// after the DB.
func New(pool *pgxpool.Pool) *DB {
	return &DB{pool: pool, sql: openSQL(pool)}
}

// oldest is the first version that has everything: gen_random_uuid is what 13
// brought.
const oldest = 130000

func (db *DB) checkVersion(ctx context.Context) (number int, err error) {
	var name string
	err = db.pool.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version')`).Scan(&number, &name)
	if err != nil {
		return 0, explainConnect(db.pool.Config().ConnConfig, err)
	}
	if number < oldest {
		return number, fmt.Errorf("the server at %s is PostgreSQL %s: version 13 or later is needed", address(db.pool.Config().ConnConfig), name)
	}
	return number, nil
}

// Pool returns the pool of connections.
func (db *DB) Pool() *pgxpool.Pool { return db.pool }

// SQL returns the same pool for programs that use database/sql. Its transactions
// send appends together with the statement that follows, or the commit, which
// then returns what the database says of them.
func (db *DB) SQL() *sql.DB { return db.sql }

// Outbox returns the outbox, for pgx transactions.
func (db *DB) Outbox() *outbox.Outbox[pgx.Tx] {
	return outbox.New[pgx.Tx](outboxStore[pgx.Tx]{onPgx, db.append, &db.reads}, db.maxPayload)
}

// OutboxSQL returns the outbox, for database/sql transactions: those of [DB.SQL],
// where an append costs no round trip, or of any other pool of pgx's stdlib.
func (db *DB) OutboxSQL() *outbox.Outbox[*sql.Tx] {
	return outbox.New[*sql.Tx](outboxStore[*sql.Tx]{onSQL, db.append, &db.reads}, db.maxPayload)
}

// Inbox returns the records of the inboxes of all subscribers that handle their
// messages in this database, in pgx transactions.
func (db *DB) Inbox() *Inbox[pgx.Tx] {
	return &Inbox[pgx.Tx]{db: db, on: onPgx, inTx: db.inPgxTx}
}

// InboxSQL is Inbox for database/sql transactions.
func (db *DB) InboxSQL() *Inbox[*sql.Tx] {
	return &Inbox[*sql.Tx]{db: db, on: onSQL, inTx: db.inSQLTx}
}

// Sagas returns the sagas of the orchestrators that keep them in this database,
// for pgx transactions.
func (db *DB) Sagas() *Sagas[pgx.Tx] { return &Sagas[pgx.Tx]{db: db, on: onPgx, inTx: db.inPgxTx} }

// SagasSQL is Sagas for database/sql transactions.
func (db *DB) SagasSQL() *Sagas[*sql.Tx] { return &Sagas[*sql.Tx]{db: db, on: onSQL, inTx: db.inSQLTx} }

// Timers returns the delayed messages, for pgx transactions.
func (db *DB) Timers() *Timers[pgx.Tx] { return &Timers[pgx.Tx]{db: db, on: onPgx, inTx: db.inPgxTx} }

// TimersSQL is Timers for database/sql transactions.
func (db *DB) TimersSQL() *Timers[*sql.Tx] {
	return &Timers[*sql.Tx]{db: db, on: onSQL, inTx: db.inSQLTx}
}

// Commands returns what participants remember of commands, for pgx transactions.
func (db *DB) Commands() *Commands[pgx.Tx] {
	return &Commands[pgx.Tx]{db: db, on: onPgx, inTx: db.inPgxTx}
}

// CommandsSQL is Commands for database/sql transactions.
func (db *DB) CommandsSQL() *Commands[*sql.Tx] {
	return &Commands[*sql.Tx]{db: db, on: onSQL, inTx: db.inSQLTx}
}

// Replies returns the replies that somebody waits for, for pgx transactions.
func (db *DB) Replies() *Replies[pgx.Tx] {
	return &Replies[pgx.Tx]{db: db, on: onPgx, inTx: db.inPgxTx}
}

// RepliesSQL is Replies for database/sql transactions.
func (db *DB) RepliesSQL() *Replies[*sql.Tx] {
	return &Replies[*sql.Tx]{db: db, on: onSQL, inTx: db.inSQLTx}
}

// Relay returns the outbox as a relay reads it. source is the name that goes out
// with every message; it must stay the same for the life of the outbox.
func (db *DB) Relay(source string) relay.Source { return &Source{db: db, name: source} }

// Admin returns what an operator can ask of the database.
func (db *DB) Admin() *Admin { return &Admin{db} }

// Close closes what Open has opened. It waits until all connections are back in the pool.
func (db *DB) Close() error {
	err := db.sql.Close()
	if db.owned {
		db.pool.Close()
	}
	if err != nil {
		return fmt.Errorf("close postgres: %w", err)
	}
	return nil
}
