package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	driver "modernc.org/sqlite"

	"tidings.example/internal/sqlstore"
	"tidings.example/outbox"
	"tidings.example/relay"
)

// handles joins the handles of this process on one file, by its path.
var handles sqlstore.Registry[shared]

// A DB is a SQLite database with the tables of Tidings. Its methods may be
// called by several goroutines.
type DB struct {
	sql    *sql.DB
	path   string
	shared *shared
	giveUp func()
	// queued is set where connections are ours: their transactions begin as
	// write transactions, and relays hear of appends after the commit.
	queued      bool
	synchronous string
	maxPayload  int
	now         func() time.Time
}

// Open opens the database file of cfg, creating it where there is none. It
// creates no tables; see [DB.Migrate]. The error is one line that says what is
// wrong with which setting or file.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if err := cfg.normalize(); err != nil {
		return nil, fmt.Errorf("open sqlite: %w", err)
	}
	db, err := open(ctx, &cfg)
	if err != nil {
		return nil, fmt.Errorf("open sqlite %s: %w", cfg.Path, err)
	}
	return db, nil
}

func open(ctx context.Context, cfg *Config) (*DB, error) {
	// Asking the system first gives better answers than SQLite's.
	if err := touch(cfg.Path); err != nil {
		return nil, err
	}
	base, err := driver.NewConnector(cfg.dsn())
	if err != nil {
		return nil, err
	}
	handle, giveUp := handles.Get(canonical(cfg.Path))
	pool := sql.OpenDB(&connector{Connector: base, shared: handle, timeout: cfg.BusyTimeout})
	// The number of connections is not bounded: a transaction that waits for
	// its turn holds one, and the one that has the turn may need a second one.
	pool.SetMaxIdleConns(16)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	db := &DB{sql: pool, path: cfg.Path, shared: handle, giveUp: giveUp, queued: true,
		synchronous: cfg.Synchronous, maxPayload: cfg.MaxPayload, now: time.Now}
	if err := db.prepareFile(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// New uses a pool of connections of the user's own, made with the driver
// modernc.org/sqlite on a file in WAL mode with a busy timeout. Its
// transactions do not queue up, and a relay of this process hears of an append
// before it is committed, and looks for it more often for a moment. The pool
// stays the user's to close, after the DB.
func New(ctx context.Context, pool *sql.DB) (*DB, error) {
	var path, mode string
	var synchronous int
	err := pool.QueryRowContext(ctx, `SELECT file, (SELECT journal_mode FROM pragma_journal_mode), (SELECT synchronous FROM pragma_synchronous)
		FROM pragma_database_list WHERE name = 'main'`).Scan(&path, &mode, &synchronous)
	switch {
	case err != nil:
		return nil, fmt.Errorf("use sqlite: %w", explain(err))
	case path == "":
		return nil, errors.New("use sqlite: the database is in memory: give a file")
	case mode != "wal":
		return nil, fmt.Errorf("use sqlite %s: journal_mode is %s: set it to wal", path, mode)
	}
	handle, giveUp := handles.Get(canonical(path))
	level := "normal"
	if synchronous >= 2 {
		level = "full"
	}
	return &DB{sql: pool, path: path, shared: handle, giveUp: giveUp, synchronous: level, now: time.Now}, nil
}

// prepareFile makes sure that the file is a database that can be written.
func (db *DB) prepareFile(ctx context.Context) error {
	var mode string
	if err := db.sql.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return explain(err)
	}
	if mode != "wal" {
		return fmt.Errorf("journal_mode stays %s instead of wal: is the file on a network file system?", mode)
	}
	tx, err := db.sql.BeginTx(ctx, nil)
	if err != nil {
		return explain(err)
	}
	if err := tx.Commit(); err != nil {
		return explain(err)
	}
	return nil
}

// touch creates the file if it is missing, and tries to open it for writing.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("directory %s does not exist: create it", filepath.Dir(path))
	}
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return fmt.Errorf("cannot write the file: %w", pathErr.Err)
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// canonical is one name for one file.
func canonical(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// SQL returns the pool of connections, for the user's own transactions.
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
	if !db.queued {
		return nil
	}
	if err := db.sql.Close(); err != nil {
		return fmt.Errorf("close sqlite %s: %w", db.path, err)
	}
	return nil
}
