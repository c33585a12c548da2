package postgres

import (
	"context"
	"fmt"
	"math"
	"time"

	"tidings.example/relay"
)

const (
	logStateSQL = `SELECT reading, asked, COALESCE(position, ''), aside, published, tableless_at FROM tidings_relay_log`

	askedSQL = `SELECT asked FROM tidings_relay_log`

	// Values that are empty are NULL: a removed checkpoint is a row of them.
	saveLogSQL = `UPDATE tidings_relay_log SET position = NULLIF($3, ''), aside = $4, published = $5, tableless_at = $6,
		saved_at = CASE WHEN $3 = '' THEN NULL ELSE clock_timestamp() END WHERE ` + fenced

	readingSQL = `UPDATE tidings_relay_log SET reading = $3, asked = '' WHERE ` + fenced

	publishedSQL = `SELECT published FROM tidings_relay_log WHERE ` + fenced

	forgetLogSQL = `UPDATE tidings_relay_log SET position = NULL, aside = NULL, published = NULL, tableless_at = NULL, saved_at = NULL
	WHERE ` + fenced

	logNamesSQL = `SELECT (SELECT oid::text FROM pg_database WHERE datname = current_database()), 'tidings_outbox'::regclass::oid::text`
)

// LogNames returns the names of the replication slot and of the publication that
// belong to this outbox. They hold the outbox's oid, so that several schemas of
// a database, and several databases of a server, do not meet. Neither need exist.
func (db *DB) LogNames(ctx context.Context) (slot, publication string, err error) {
	var database, table string
	if err := db.pool.QueryRow(ctx, logNamesSQL).Scan(&database, &table); err != nil {
		return "", "", fmt.Errorf("find the outbox: %w", db.advise(ctx, err))
	}
	return "tidings_" + database + "_" + table, "tidings_" + table, nil
}

// readLogState reads where rows are read from, what was asked, and the checkpoint.
func readLogState(state *relay.State) statement {
	return statement{sql: logStateSQL, row: func(scan func(...any) error) error {
		var position string
		var tableless *time.Time
		err := scan(&state.Reading, &state.Asked, &position, &state.Log.Aside, &state.Log.Published, &tableless)
		if position != "" {
			state.Log.Position = []byte(position)
		}
		if tableless != nil {
			state.Log.Tableless = tableless.UTC()
		}
		return err
	}}
}

func readAsked(into *relay.Reading) statement {
	return statement{sql: askedSQL, row: func(scan func(...any) error) error { return scan(into) }}
}

func saveLogArgs(c *relay.Checkpoint) []any {
	return []any{string(c.Position), c.Aside, c.Published, orNull(c.Tableless)}
}

// publishedRanges are the positions that an encoded set holds, as ranges.
func publishedRanges(encoded []byte) (first, last []int64, err error) {
	if len(encoded) == 0 {
		return nil, nil, nil
	}
	set, err := relay.DecodePositionSet(encoded)
	if err != nil {
		return nil, nil, err
	}
	// Below 1 are only positions that somebody chose, perhaps after the set had
	// passed them: better twice than never.
	from := int64(1)
	add := func(to int64) {
		if from <= to {
			first, last = append(first, from), append(last, to)
		}
	}
	for _, gap := range set.Gaps {
		if gap.First > from {
			add(gap.First - 1)
		}
		from = max(from, gap.Last+1)
	}
	add(set.High)
	return first, last, nil
}

// unpublishedRanges are the positions that it does not hold.
func unpublishedRanges(set *relay.PositionSet) (first, last []int64) {
	for _, gap := range set.Gaps {
		first, last = append(first, gap.First), append(last, gap.Last)
	}
	return append(first, set.High+1), append(last, math.MaxInt64)
}
