package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"tidings.example"
	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

// An Append is a way to append messages, each in the caller's transaction and with
// the same guarantees. The zero value is AppendTable.
//
// What AppendAndDelete and AppendToLog write is in no table. So Open refuses them
// unless the outbox is read from the log, and each DB asks again once a second: an
// append fails after a switch to the table. What was appended within the second before, or
// in a transaction that was open during the switch, is lost to a relay that reads the
// table: stop such programs before a switch.
type Append string

// The ways to append.
const (
	// AppendTable inserts rows into tidings_outbox, where every relay finds them.
	AppendTable Append = "table"
	// AppendAndDelete inserts rows into tidings_outbox_log and deletes them in the
	// same transaction. Only a relay that reads the log finds them. Nothing has
	// to be removed later.
	AppendAndDelete Append = "delete"
	// AppendToLog writes messages to the log and to no table, with
	// pg_logical_emit_message. It costs least. Only a relay that reads the log finds
	// them, and it needs PostgreSQL 14 or later.
	AppendToLog Append = "log"
)

const (
	insertLogSQL = `INSERT INTO tidings_outbox_log (id, channel, message_key, type, subject, content_type, headers, payload, created_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

	// As a subquery the position is a constant to the planner, which finds it by index.
	deleteLogSQL = `DELETE FROM tidings_outbox_log WHERE position = (SELECT currval('tidings_outbox_log_positions'))`

	// The lowest position is kept until the end of the transaction, for the next statement.
	insertManyLogSQL = `WITH i AS (INSERT INTO tidings_outbox_log (id, channel, message_key, type, subject, content_type, headers, payload, created_at)
	SELECT m.id, m.channel, NULLIF(m.message_key, ''), m.type, NULLIF(m.subject, ''), m.content_type, NULLIF(m.headers, ''), m.payload, m.created_at
	FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::timestamptz[])
		WITH ORDINALITY AS m (id, channel, message_key, type, subject, content_type, headers, payload, created_at, n)
	ORDER BY m.n RETURNING position)
	SELECT set_config('tidings.first', min(position)::text, true) FROM i`

	// Rows of others are between them, but nobody sees any.
	deleteManyLogSQL = `DELETE FROM tidings_outbox_log WHERE position BETWEEN (SELECT current_setting('tidings.first')::bigint)
		AND (SELECT currval('tidings_outbox_log_positions'))`

	// Its first parameter makes it part of the transaction.
	emitSQL = `SELECT count(pg_logical_emit_message(true, '` + EmittedPrefix + `', m)) FROM unnest($1::bytea[]) AS m`
)

// appends are the statements that a connection of [DB.SQL] may keep back.
var appends = map[string]bool{insertSQL: true, insertManySQL: true, insertLogSQL: true, deleteLogSQL: true,
	insertManyLogSQL: true, deleteManyLogSQL: true, emitSQL: true}

// stillRead returns an error if the outbox is read from the table by now, where
// nobody would find what is appended past it. It asks once a second, in the
// caller's transaction: no other connection may be free.
func stillRead(ctx context.Context, r runner, reads *sqlstore.Recheck) error {
	return reads.Do(time.Second, func() error {
		reading := relay.FromTable
		err := r.run(ctx, statement{sql: `SELECT reading FROM tidings_relay_log`, row: func(scan func(...any) error) error {
			return scan(&reading)
		}})
		if err != nil {
			return fmt.Errorf("find out where the outbox is read from: %w", err)
		}
		if reading != relay.FromLog {
			return errors.New("the outbox is read from the table now, where messages that are appended to the log alone are not: open the store with append=table")
		}
		return nil
	})
}

func (a Append) valid() error {
	switch a {
	case "", AppendTable, AppendAndDelete, AppendToLog:
		return nil
	}
	return fmt.Errorf("append is %q: give %s, %s or %s", a, AppendTable, AppendAndDelete, AppendToLog)
}

// appendOf takes the parameter append from a URL, and returns the rest, which is
// all for the driver.
func appendOf(cfg Config) (Config, error) {
	server, query, ok := strings.Cut(cfg.URL, "?")
	if !ok || !strings.Contains(query, "append=") {
		return cfg, nil
	}
	params, err := url.ParseQuery(query)
	if err != nil || !params.Has("append") {
		return cfg, nil // the driver says what is wrong with it
	}
	a := Append(params.Get("append"))
	params.Del("append")
	cfg.URL = server + "?" + params.Encode()
	if cfg.Append != "" && cfg.Append != a {
		return cfg, fmt.Errorf("the URL says append=%s and the configuration %s: give one of them", a, cfg.Append)
	}
	cfg.Append = a
	return cfg, a.valid()
}

// emit returns the statement that writes messages to the log.
func emit(ms []tidings.Message) (statement, error) {
	contents := make([][]byte, len(ms))
	for i := range ms {
		var err error
		if contents[i], err = AppendEmitted(nil, &ms[i]); err != nil {
			return statement{}, err
		}
	}
	return statement{sql: emitSQL, args: []any{contents}}, nil
}

// OnPool is [Open] for a program that has a pool, as New is, and takes the
// configuration's other fields. The pool stays the program's to close, after the DB.
func OnPool(ctx context.Context, pool *pgxpool.Pool, cfg Config) (*DB, error) {
	if cfg.URL != "" {
		return nil, errors.New("open postgres: a URL is given together with a pool: give one of them")
	}
	db := New(pool)
	if err := db.configure(ctx, cfg); err != nil {
		_ = db.sql.Close()
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	return db, nil
}

// configure checks the version and what the database must have for cfg.
func (db *DB) configure(ctx context.Context, cfg Config) error {
	if err := cfg.Append.valid(); err != nil {
		return err
	}
	db.maxPayload, db.append = cfg.MaxPayload, cfg.Append
	version, err := db.checkVersion(ctx)
	if err != nil || cfg.Append == "" || cfg.Append == AppendTable {
		return err
	}
	if cfg.Append == AppendToLog && version < 140000 {
		return fmt.Errorf("append=%s needs PostgreSQL 14 or later, whose log readers get such messages: use append=%s", AppendToLog, AppendAndDelete)
	}
	var reading relay.Reading
	if err := db.pool.QueryRow(ctx, `SELECT reading FROM tidings_relay_log`).Scan(&reading); err != nil {
		return fmt.Errorf("append=%s: find out where the outbox is read from: %w", cfg.Append, db.advise(ctx, err))
	}
	if reading != relay.FromLog {
		return fmt.Errorf("append=%s: the outbox is read from the table, where such messages never are: "+
			"switch the relay to the log first (tidings relay switch --to log), or append to the table", cfg.Append)
	}
	return nil
}
