package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

// appending is how a DB appends. The zero value inserts into the table.
type appending struct {
	toLog bool // into tidings_outbox_log
	// deletes is set where the rows have to be deleted again; step is the
	// difference between the positions that the server hands out in one statement.
	deletes bool
	step    int64
	reads   *sqlstore.Recheck // where toLog is set
}

// readCheck is how often an append asks whether the log is still read.
const readCheck = time.Second

// stillRead returns an error if the outbox is read from the table by now, where
// nobody would find the rows. It asks once a second, in the caller's transaction: no other
// connection may be free.
func (a *appending) stillRead(ctx context.Context, tx *sql.Tx) error {
	return a.reads.Do(readCheck, func() error {
		var reading, asked relay.Reading
		if err := tx.QueryRowContext(ctx, readingOfSQL).Scan(&reading, &asked); err != nil {
			return fmt.Errorf("find out where the outbox is read from: %w", err)
		}
		if reading != relay.FromLog {
			return errors.New("the outbox is read from the table now, where rows that are appended to the log alone are not: open the store with append=table")
		}
		return nil
	})
}

const (
	deleteOneSQL = `DELETE FROM tidings_outbox_log WHERE position = ?`

	// The table always looks empty to the optimizer, which would then read all
	// of it and wait for the rows of other transactions. Here it looks up each row.
	deleteSomeSQL = `DELETE l FROM (SELECT ? AS position%s) p
	STRAIGHT_JOIN tidings_outbox_log l FORCE INDEX (PRIMARY) ON l.position = p.position`

	// The engine is NULL where the server does not have it any more.
	engineSQL = `SELECT COALESCE(engine, ''), @@auto_increment_increment FROM information_schema.tables
	WHERE table_schema = DATABASE() AND table_name = 'tidings_outbox_log'`

	readingOfSQL = `SELECT reading, asked FROM tidings_relay_log`
)

// insert adds n rows.
func (a *appending) insert(ctx context.Context, tx *sql.Tx, n int, args []any) error {
	query := insertSQL
	if a.toLog {
		if err := a.stillRead(ctx, tx); err != nil {
			return err
		}
		query = insertLogSQL
	}
	result, err := tx.ExecContext(ctx, marked(query+strings.Repeat(insertMoreSQL, n-1), n), args...)
	if err != nil || !a.deletes {
		return err
	}
	first, err := result.LastInsertId()
	if err != nil {
		return err
	}
	query = deleteOneSQL
	if n > 1 {
		query = fmt.Sprintf(deleteSomeSQL, strings.Repeat(" UNION ALL SELECT ?", n-1))
	}
	// The server hands out the positions of one statement together.
	positions := make([]any, n)
	for i := range positions {
		positions[i] = first + int64(i)*a.step
	}
	result, err = tx.ExecContext(ctx, marked(query, n), positions...)
	if err != nil {
		return err
	}
	deleted, err := result.RowsAffected()
	if err == nil && deleted != int64(n) {
		err = fmt.Errorf("deleted %d of %d rows of tidings_outbox_log that were just inserted: has auto_increment_increment changed?", deleted, n)
	}
	return err
}

// findAppending finds out what a way to append needs, and whether it may be used.
func (db *DB) findAppending(ctx context.Context, way Append) (appending, error) {
	if way == AppendTable {
		return appending{}, nil
	}
	var engine string
	var reading, asked relay.Reading
	a := appending{toLog: true, reads: new(sqlstore.Recheck)}
	err := db.sql.QueryRowContext(ctx, engineSQL).Scan(&engine, &a.step)
	if err == nil {
		err = db.sql.QueryRowContext(ctx, readingOfSQL).Scan(&reading, &asked)
	}
	switch {
	case errors.Is(err, sql.ErrNoRows) || code(err) == codeNoSuchTable:
		return a, fmt.Errorf("append=%s needs tables that are missing: run the migrations (tidings migrate up, or DB.Migrate) with append=table first", way)
	case err != nil:
		return a, err
	case reading != relay.FromLog || asked == relay.FromTable:
		return a, fmt.Errorf("append=%s needs the outbox to be read from the binary log: start a relay that reads the log, or run tidings relay switch --to log; until then use append=table", way)
	}
	a.deletes = !strings.EqualFold(engine, "BLACKHOLE")
	if a.deletes && way == AppendToLog {
		return a, fmt.Errorf("append=log needs the table tidings_outbox_log to be of the engine BLACKHOLE, and it is %s: "+
			"have the engine installed (INSTALL SONAME 'ha_blackhole' on MariaDB) and run ALTER TABLE tidings_outbox_log ENGINE = BLACKHOLE, or use append=delete", engine)
	}
	return a, nil
}
