package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

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
		if err != nil {
			return err
		}
		steps = append(removeRanges(published), step{query: forgetLogSQL})
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

// removeRanges remove rows whose neighbours may not be committed: each statement
// reads its range and nothing else.
func removeRanges(ranges []relay.Range) []step {
	steps := make([]step, 0, len(ranges))
	for _, r := range ranges {
		steps = append(steps, step{removeChunkSQL, []any{r.First, r.Last}})
	}
	return steps
}

func removeSteps(ranges []relay.Range) []step {
	var steps []step
	for runs := range slices.Chunk(ranges, removeRuns) {
		var args []any
		for _, r := range runs {
			args = append(args, r.First, r.Last)
		}
		steps = append(steps, step{removeSQL + repeat("position BETWEEN ? AND ?", " OR ", len(runs)), args})
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
	return err
}
