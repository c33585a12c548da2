package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"tidings.example"
	"tidings.example/relay"
)

// This file has what the reader of the log (store/postgres/wal) needs of the
// tables and of the connections' settings.

// Columns are the names of the outbox's columns, in the order in which a
// [RowDecoder] takes them.
var Columns = [...]string{columnPosition: "position", columnID: "id", columnChannel: "channel", columnKey: "message_key", columnType: "type",
	columnSubject: "subject", columnContentType: "content_type", columnHeaders: "headers", columnPayload: "payload", columnCreatedAt: "created_at"}

// What is longer is not decoded, as it is not read from the table; see readColumns.
const (
	maxName    = 1000
	maxHeaders = 4 << 20
)

// A RowDecoder makes rows of columns that were read from the log. It is for one goroutine.
type RowDecoder struct{ d decoder }

// Row decodes columns in binary format, in the order of Columns; nil is NULL. It
// keeps none of the bytes, but for a row with an Err, whose Raw is a copy of them.
func (d *RowDecoder) Row(columns [][]byte) relay.Row {
	var whole [len(Columns)][]byte
	copy(whole[:], columns)
	long := clip(columns)
	row := d.d.row(columns)
	if long != "" {
		row.Err = fmt.Errorf("column %s has more bytes than a message may have there", long)
	}
	if row.Err != nil {
		raw := make([][]byte, len(columns))
		for i := range columns {
			if whole[i] != nil {
				raw[i] = append([]byte{}, whole[i]...)
			}
		}
		row.Raw = raw
	}
	return row
}

// clip shortens what is too long, as reading from the table does, and returns the
// name of the first such column.
func clip(columns [][]byte) (long string) {
	for i, v := range columns {
		limit, keep := maxName, maxName
		switch i {
		case columnPosition, columnCreatedAt:
			continue
		case columnHeaders:
			limit = maxHeaders
		case columnPayload:
			limit, keep = tidings.MaxPayload, 0
		}
		if len(v) <= limit {
			continue
		}
		if long == "" {
			long = Columns[i]
		}
		columns[i] = leftOf(v, keep)
	}
	return long
}

// leftOf returns the first n characters, as the function left does.
func leftOf(b []byte, n int) []byte {
	at := 0
	for ; n > 0 && at < len(b); n-- {
		_, size := utf8.DecodeRune(b[at:])
		at += size
	}
	return b[:at]
}

// DedicatedConn opens a connection like those of the pool, which is the caller's to close.
func (db *DB) DedicatedConn(ctx context.Context) (*pgx.Conn, error) { return db.dedicated(ctx, nil) }

// ConnectConfig returns the settings that the pool connects with now.
func (db *DB) ConnectConfig(ctx context.Context) (*pgx.ConnConfig, error) {
	pool := db.pool.Config()
	config := pool.ConnConfig.Copy()
	if pool.BeforeConnect != nil {
		if err := pool.BeforeConnect(ctx, config); err != nil {
			return nil, fmt.Errorf("prepare to connect: %w", err)
		}
	}
	return config, nil
}

// ExplainConnect says in one line where it was that no connection could be made, and why.
func ExplainConnect(c *pgx.ConnConfig, err error) error { return explainConnect(c, err) }

// A Snapshot reads the outbox's table as it was at one moment.
type Snapshot struct{ x *session }

// OpenSnapshot opens a connection that sees what another one, which has exported
// the snapshot and waits until OpenSnapshot returns, sees.
func (db *DB) OpenSnapshot(ctx context.Context, name string) (*Snapshot, error) {
	conn, err := db.dedicated(ctx, nil)
	if err != nil {
		return nil, err
	}
	if _, err = conn.Exec(ctx, settingsSQL); err == nil {
		// The name comes from the server, which takes no parameters here.
		_, err = conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '"+strings.ReplaceAll(name, "'", "''")+"'")
	}
	if err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("import the snapshot of the log's beginning: %w", err)
	}
	return &Snapshot{&session{work: conn, floor: floor{off: true}}}, nil
}

// Read is as [relay.Session]'s, at the moment of the snapshot.
func (s *Snapshot) Read(ctx context.Context, q relay.Query) ([]relay.Row, error) {
	return s.x.Read(ctx, q)
}

// Close ends the snapshot. The server then forgets what it has kept for it.
func (s *Snapshot) Close(ctx context.Context) { _ = s.x.work.Close(ctx) }

const (
	holderSQL = `SELECT holder, fence, COALESCE((SELECT reading = 'log' FROM tidings_relay_log), false),
		holder <> '' AND expires_at > clock_timestamp() FROM tidings_relay WHERE source = $1`

	// Whoever has died does not renew; who only seems to have died is fenced then.
	takeAwaySQL = `UPDATE tidings_relay SET holder = '', expires_at = clock_timestamp() WHERE source = $1 AND fence = $2`
)

// A Holder is who holds the lease of an outbox.
type Holder struct {
	Name  string
	Fence int64
	// FromLog is set where the outbox is read from the log.
	FromLog bool
	// Good is set while the lease has not run out.
	Good bool
}

// Holder returns who holds the lease; the zero value if nobody ever has.
func (db *DB) Holder(ctx context.Context, source string) (Holder, error) {
	var h Holder
	err := db.pool.QueryRow(ctx, holderSQL, source).Scan(&h.Name, &h.Fence, &h.FromLog, &h.Good)
	if errors.Is(err, pgx.ErrNoRows) {
		return Holder{}, nil
	}
	if err != nil {
		return Holder{}, fmt.Errorf("read the lease: %w", db.advise(ctx, err))
	}
	return h, nil
}

// TakeAway ends the lease with this fence, of a holder that is known to be dead, so
// that it can be acquired before it runs out. It does nothing if another one has been given.
func (db *DB) TakeAway(ctx context.Context, source string, fence int64) error {
	if _, err := db.pool.Exec(ctx, takeAwaySQL, source, fence); err != nil {
		return fmt.Errorf("take the lease of a dead relay: %w", err)
	}
	return nil
}

// appendersSQL takes the end of the log after the locks were listed: whoever held
// one before and does not any more has its commit below that.
const appendersSQL = `WITH l AS MATERIALIZED (SELECT array_agg(virtualtransaction) AS holders FROM (` + lockersSQL + `) AS x)
	SELECT COALESCE(holders, '{}'), pg_current_wal_insert_lsn()::text FROM l`

// Appenders are the transactions that may hold positions of the outbox's table
// which nobody else sees yet.
type Appenders struct {
	// Transactions have the table's lock.
	Transactions []string
	// LSN is an end of the log's: those who had the lock before and are not among
	// Transactions have committed below it, or never will.
	LSN string
}

// ReadAppenders looks for open transactions on the table with this oid.
func ReadAppenders(ctx context.Context, conn *pgx.Conn, table uint32) (Appenders, error) {
	var a Appenders
	err := conn.QueryRow(ctx, appendersSQL, table).Scan(&a.Transactions, &a.LSN)
	if err != nil {
		return a, fmt.Errorf("look for open appends: %w", err)
	}
	return a, nil
}

// GrowingPositions reports whether positions are handed out in order: not by sessions
// that take several at a time.
func GrowingPositions(ctx context.Context, conn *pgx.Conn) (bool, error) {
	var cache int64
	switch err := conn.QueryRow(ctx, sequenceCacheSQL).Scan(&cache); {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("find the outbox's sequence: %w", err)
	}
	return cache == 1, nil
}
