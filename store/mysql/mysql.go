package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"tidings.example/internal/sqlstore"
	"tidings.example/outbox"
	"tidings.example/relay"
)

// hubs join the handles of this process on one database.
var hubs sqlstore.Registry[sqlstore.Hub]

// A DB is a MySQL or MariaDB database with the tables of Tidings. Its methods
// may be called by several goroutines.
type DB struct {
	// sql is the user's pool. The others are the same pool where the user has
	// brought it; else inbox opens READ COMMITTED transactions, and relay
	// takes several statements in one round trip, which must not be possible
	// on connections that run the user's statements.
	sql, inbox, relay *sql.DB
	owned             bool
	place             string
	server            server
	hub               *sqlstore.Hub
	giveUp            func()
	maxPayload        int
	removal           removal
	config            *driver.Config // nil where the pool is the user's
	appending         appending
}

// Open connects to the database of cfg. It creates no tables; see [DB.Migrate].
// The error is one line that says what is wrong, without the password.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	s, err := cfg.parse()
	if err != nil {
		return nil, fmt.Errorf("open mysql: %w", err)
	}
	db, err := open(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("open mysql %s: %w", s.place(), explain(err))
	}
	db.maxPayload = cfg.MaxPayload
	return db, nil
}

func open(ctx context.Context, s *settings) (*DB, error) {
	found, err := examineBy(ctx, s.driver)
	if err != nil {
		return nil, err
	}
	db := &DB{owned: true, place: s.place(), server: found, config: s.driver}
	db.hub, db.giveUp = hubs.Get(found.place)
	multi := s.driver.Clone()
	multi.MultiStatements = true
	strict := []string{
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
		"SET SESSION sql_mode = CONCAT(@@SESSION.sql_mode, ',STRICT_TRANS_TABLES')",
	}
	var errs [3]error
	db.sql, errs[0] = db.pool(s, s.driver, nil)
	db.inbox, errs[1] = db.pool(s, s.driver, strict)
	db.relay, errs[2] = db.pool(s, multi, strict)
	if err := errors.Join(errs[:]...); err != nil {
		db.giveUp()
		return nil, err
	}
	if db.appending, err = db.findAppending(ctx, s.append); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (db *DB) pool(s *settings, cfg *driver.Config, setup []string) (*sql.DB, error) {
	base, err := driver.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(&connector{Connector: base, hub: db.hub, setup: setup})
	pool.SetMaxOpenConns(s.maxConnections)
	pool.SetMaxIdleConns(min(s.maxConnections, 16))
	// Below the idle limits of servers and of what stands between.
	pool.SetConnMaxIdleTime(time.Minute)
	return pool, nil
}

// examineBy uses a connection of its own.
func examineBy(ctx context.Context, cfg *driver.Config) (server, error) {
	base, err := driver.NewConnector(cfg)
	if err != nil {
		return server{}, err
	}
	pool := sql.OpenDB(base)
	found, err := examine(ctx, pool)
	return found, errors.Join(err, pool.Close())
}

// New uses a pool of connections of the user's own, made with the driver
// github.com/go-sql-driver/mysql and parseTime=true, on the character set
// utf8mb4. A relay of this process then hears of an append before it is
// committed, and looks for it more often for a moment; and it needs a round
// trip for each statement. The pool stays the user's to close, after the DB.
func New(ctx context.Context, pool *sql.DB) (*DB, error) {
	found, err := examine(ctx, pool)
	if err == nil {
		err = checkDates(ctx, pool)
	}
	if err != nil {
		return nil, fmt.Errorf("use mysql: %w", explain(err))
	}
	db := &DB{sql: pool, inbox: pool, relay: pool, place: found.place, server: found}
	db.hub, db.giveUp = hubs.Get(found.place)
	return db, nil
}

// checkDates finds out whether the driver was told to read dates.
func checkDates(ctx context.Context, pool *sql.DB) error {
	var now any
	if err := pool.QueryRowContext(ctx, "SELECT UTC_TIMESTAMP(6)").Scan(&now); err != nil {
		return err
	}
	if _, ok := now.(time.Time); !ok {
		return errors.New("the pool returns dates as text: open it with parseTime=true")
	}
	return nil
}

// SQL returns the pool of connections for the user's own transactions.
func (db *DB) SQL() *sql.DB { return db.sql }

// Outbox returns the outbox of the database.
func (db *DB) Outbox() *outbox.Outbox[*sql.Tx] {
	return outbox.New[*sql.Tx]((*outboxStore)(db), db.maxPayload)
}

// Inbox returns the records of the inboxes of all subscribers that handle their
// messages in this database.
func (db *DB) Inbox() *Inbox { return &Inbox{db} }

// Relay returns the outbox as a relay reads it. source is the name that goes
// out with every message; it must stay the same for the life of the database.
func (db *DB) Relay(source string) relay.Source { return &Source{db: db, name: source} }

// Admin returns what an operator can ask of the database.
func (db *DB) Admin() *Admin { return newAdmin(db) }

// Close closes the connections that Open has opened.
func (db *DB) Close() error {
	db.giveUp()
	if !db.owned {
		return nil
	}
	if err := errors.Join(db.relay.Close(), db.inbox.Close(), db.sql.Close()); err != nil {
		return fmt.Errorf("close mysql %s: %w", db.place, err)
	}
	return nil
}
