package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

const (
	logStateSQL = `SELECT reading, asked, position, aside, published, tableless_at FROM tidings_relay_log`

	firstLogStateSQL = `INSERT IGNORE INTO tidings_relay_log (one) VALUES (1)`

	askedSQL = `SELECT asked FROM tidings_relay_log`

	publishedSQL = `SELECT published FROM tidings_relay_log`

	saveLogSQL = `UPDATE tidings_relay_log SET position = ?, aside = ?, published = ?, tableless_at = ?, saved_at = UTC_TIMESTAMP(6)`

	forgetLogSQL = `UPDATE tidings_relay_log SET position = NULL, aside = NULL, published = NULL, tableless_at = NULL, saved_at = NULL`

	readingSQL = `UPDATE tidings_relay_log SET reading = ?, asked = ''`
)

// readLogState reads where rows are read from, what was asked, and the checkpoint.
func readLogState(ctx context.Context, tx *sql.Tx, state *relay.State) error {
	var position sql.NullString
	var tableless sql.NullTime
	row := func() error {
		return tx.QueryRowContext(ctx, logStateSQL).Scan(&state.Reading, &state.Asked, &position,
			&state.Log.Aside, &state.Log.Published, &tableless)
	}
	err := row()
	if errors.Is(err, sql.ErrNoRows) { // somebody has emptied the table
		if _, err = tx.ExecContext(ctx, firstLogStateSQL); err == nil {
			err = row()
		}
	}
	if position.String != "" {
		state.Log.Position = []byte(position.String)
	}
	if tableless.Valid {
		state.Log.Tableless = tableless.Time.UTC()
	}
	return err
}

func saveLog(c *relay.Checkpoint) step {
	if len(c.Position) == 0 && len(c.Aside) == 0 && len(c.Published) == 0 && c.Tableless.IsZero() {
		return step{query: forgetLogSQL}
	}
	return step{saveLogSQL, []any{sqlstore.OrNull(string(c.Position)), c.Aside, c.Published, datetime(c.Tableless)}}
}

// switchReading changes where rows are read from, in a transaction that has
// checked the fence. It locks rows of the outbox before what is saved, as
// RemovePublished does.
func (s *session) switchReading(ctx context.Context, tx *sql.Tx, c relay.Change) error {
	steps := []step{}
	if c.Reading == relay.FromTable {
		published, err := publishedAt(ctx, tx, c.Log)
		if err == nil {
			err = removeIn(ctx, tx, published)
		}
		if err != nil {
			return err
		}
		steps = append(steps, step{query: forgetLogSQL})
	}
	return runSteps(ctx, tx, append(steps, step{readingSQL, []any{string(c.Reading)}}))
}

// publishedAt are the positions that a checkpoint counts as published; the
// saved one where it is nil.
func publishedAt(ctx context.Context, q rowQueryer, c *relay.Checkpoint) ([]relay.Range, error) {
	var encoded []byte
	if c != nil {
		encoded = c.Published
	} else if err := q.QueryRowContext(ctx, publishedSQL).Scan(&encoded); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	set, err := relay.DecodePositionSet(encoded)
	if err != nil {
		return nil, fmt.Errorf("read the saved checkpoint: %w", err)
	}
	return sqlstore.PositionRanges(&set), nil
}

// removeIn removes the rows of ranges that are committed.
func removeIn(ctx context.Context, tx *sql.Tx, ranges []relay.Range) error {
	for _, r := range ranges {
		for more := true; more; {
			positions, err := positionsIn(ctx, tx, r)
			if err == nil {
				err = runSteps(ctx, tx, removeSteps(positions))
			}
			if err != nil {
				return err
			}
			if more = len(positions) == removeRows; more {
				r.First = positions[removeRows-1] + 1
			}
		}
	}
	return nil
}

const positionsSQL = `SELECT position FROM tidings_outbox WHERE position BETWEEN ? AND ? ORDER BY position LIMIT ?`

// positionsIn returns the first removeRows positions of a range that have a
// committed row. It locks nothing.
func positionsIn(ctx context.Context, q rowsQueryer, r relay.Range) ([]int64, error) {
	rows, err := q.QueryContext(ctx, positionsSQL, r.First, r.Last, removeRows)
	if err != nil {
		return nil, err
	}
	var all []int64
	err = each(rows, func() error {
		var p int64
		err := rows.Scan(&p)
		all = append(all, p)
		return err
	})
	return all, err
}

type rowsQueryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func removeSteps(positions []int64) []step {
	var steps []step
	for some := range slices.Chunk(positions, removeRows) {
		args := make([]any, len(some))
		for i, p := range some {
			args[i] = p
		}
		steps = append(steps, step{fmt.Sprintf(removeSQL, strings.Repeat(" UNION ALL SELECT ?", len(some)-1)), args})
	}
	return steps
}

// removeSaved removes what is published by what is saved in many transactions,
// so that little is left for the one that switches to the table.
func (db *DB) removeSaved(ctx context.Context) error {
	published, err := publishedAt(ctx, db.inbox, nil)
	if err == nil {
		_, err = db.remove(ctx, published, nil)
	}
	if errors.Is(err, errNotPublished) {
		return nil
	}
	if err == nil && len(published) > 0 {
		err = db.settle(ctx, published[len(published)-1].Last)
	}
	return err
}

// settle waits until all rows up to a position can be seen that the server has
// written to its log: it writes them there first, and shows them as committed a
// moment later. Rows of transactions that stay open are waited for in vain, for a second: a
// server that takes longer for that moment, as one may that waits for a replica, may have such a row
// published twice.
func (db *DB) settle(ctx context.Context, last int64) error {
	conn, err := db.inbox.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, "SET SESSION innodb_lock_wait_timeout = 1"); err != nil {
		return err
	}
	defer func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "SET SESSION innodb_lock_wait_timeout = DEFAULT")
	}()
	var n int64
	err = conn.QueryRowContext(ctx, settleSQL, last).Scan(&n)
	if code(err) == codeLockWait {
		return nil
	}
	return err
}

const settleSQL = `SELECT COUNT(*) FROM tidings_outbox FORCE INDEX (PRIMARY) WHERE position <= ? LOCK IN SHARE MODE`
