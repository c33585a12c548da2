package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings.example/admin"
	"tidings.example/relay"
)

const (
	// wal_status tells since version 13 whether the slot still has its log. The
	// limit is in MiB, -1 for none.
	slotSQL = `SELECT slot_name, active, COALESCE(wal_status, ''), COALESCE(pg_wal_lsn_diff(current, restart_lsn), -1)::bigint,
		(SELECT CASE WHEN setting::bigint < 0 THEN 0 ELSE setting::bigint << 20 END FROM pg_settings WHERE name = 'max_slot_wal_keep_size')
	FROM pg_replication_slots, (SELECT ` + currentLogSQL + ` AS current) AS c WHERE slot_name = $1`

	currentLogSQL = `CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END`

	// A position may have more behind the log's address.
	savedLogSQL = `SELECT reading, asked, COALESCE(position, ''), saved_at, tableless_at,
		CASE WHEN position ~ '^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}' THEN pg_wal_lsn_diff(` + currentLogSQL + `, substring(position FROM '^[0-9A-Fa-f/]+')::pg_lsn) ELSE -1 END::bigint
	FROM tidings_relay_log`

	countInSQL = `SELECT count(*) FROM unnest($1::bigint[], $2::bigint[]) AS r (first, last) JOIN tidings_outbox o ON o.position BETWEEN r.first AND r.last`

	askLogSQL = `UPDATE tidings_relay_log SET asked = CASE WHEN reading = $1 THEN '' ELSE $1 END`

	// How long it is since a message was read that was never in the table.
	tablelessSQL = `SELECT COALESCE(tableless_at > clock_timestamp() - interval '1 day', false), COALESCE(tableless_at, 'epoch'), reading
	FROM tidings_relay_log FOR UPDATE`

	leadingSQL = `SELECT COALESCE((SELECT holder FROM tidings_relay WHERE holder <> '' AND expires_at > clock_timestamp()), '')
	FROM tidings_relay_log WHERE reading = 'log'`
)

// LogStatus describes the reading of the log. Counting takes as long as there are
// published rows in the table.
func (a *Admin) LogStatus(ctx context.Context) (admin.LogStatus, error) {
	slot, _, err := a.db.LogNames(ctx)
	var st admin.LogStatus
	if err == nil {
		err = pgx.BeginTxFunc(ctx, a.db.pool, snapshot, func(tx pgx.Tx) (err error) {
			st, err = logStatus(ctx, tx, slot)
			return err
		})
	}
	if err != nil {
		return st, fmt.Errorf("read the state of the log: %w", a.db.advise(ctx, err))
	}
	return st, nil
}

func logStatus(ctx context.Context, tx pgx.Tx, slot string) (admin.LogStatus, error) {
	st := admin.LogStatus{Retained: -1}
	var saved, tableless *time.Time
	err := tx.QueryRow(ctx, savedLogSQL).Scan(&st.Reading, &st.Asked, &st.Position, &saved, &tableless, &st.Behind)
	if err != nil {
		return st, err
	}
	if saved != nil {
		st.SavedAt = saved.UTC()
	}
	if tableless != nil {
		st.Tableless = tableless.UTC()
	}
	var status string
	err = tx.QueryRow(ctx, slotSQL, slot).Scan(&st.Name, &st.Active, &status, &st.Retained, &st.Limit)
	missing := errors.Is(err, pgx.ErrNoRows)
	switch {
	case err != nil && !missing:
		return st, err
	case st.Position != "" && missing:
		st.Lost = fmt.Sprintf("the replication slot %s is missing: what was committed behind %s can only be read from the table", slot, st.Position)
	case status == "lost":
		st.Lost = fmt.Sprintf("the replication slot %s has lost its log, which grew longer than max_slot_wal_keep_size", slot)
	}
	set, err := savedPublished(ctx, tx)
	if errors.Is(err, errUnpublished) {
		return st, nil
	}
	if err == nil {
		var first, last []int64
		if first, last, err = publishedRanges(set.Encode()); err == nil {
			err = tx.QueryRow(ctx, countInSQL, first, last).Scan(&st.Published)
		}
	}
	return st, err
}

// AskReading asks the leading relay to read from somewhere else.
func (a *Admin) AskReading(ctx context.Context, reading string, force bool, act admin.Action) error {
	const what = "switch where rows are read from"
	if reading != string(relay.FromTable) && reading != string(relay.FromLog) {
		return fmt.Errorf("%s: reading is %q: give %q or %q", what, reading, relay.FromTable, relay.FromLog)
	}
	if reading == string(relay.FromLog) {
		var level string
		if err := a.one(ctx, `SELECT current_setting('wal_level')`, &level); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if level != "logical" {
			return fmt.Errorf("%s: wal_level is %s: set wal_level = logical and restart the server", what, level)
		}
	}
	return a.change(ctx, what, act, func(r runner) (string, string, error) {
		var before string
		var recently bool
		var last time.Time
		err := r.run(ctx, statement{sql: tablelessSQL, row: func(scan func(...any) error) error { return scan(&recently, &last, &before) }})
		if err == nil && recently && !force && reading == string(relay.FromTable) && before != reading {
			err = fmt.Errorf("%w, the last one was read at %s: they cannot be read from the table; append to the table for a day first, or force it",
				admin.ErrTableless, last.UTC().Format(time.RFC3339))
		}
		if err == nil {
			err = r.run(ctx, statement{sql: askLogSQL, args: []any{reading}})
		}
		return "reading from the " + reading, fmt.Sprintf(`{"before":%q,"force":%t}`, before, force), err
	})
}

// DropLog drops the replication slot.
func (a *Admin) DropLog(ctx context.Context, act admin.Action) error {
	const what = "drop the replication slot"
	slot, _, err := a.db.LogNames(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return a.change(ctx, what, act, func(r runner) (string, string, error) {
		var active, found bool
		var leader string
		err := r.run(ctx,
			statement{sql: `SELECT active FROM pg_replication_slots WHERE slot_name = $1`, args: []any{slot}, row: func(scan func(...any) error) error {
				found = true
				return scan(&active)
			}},
			statement{sql: leadingSQL, row: func(scan func(...any) error) error { return scan(&leader) }})
		switch {
		case err != nil:
		case !found:
			err = fmt.Errorf("slot %s: %w", slot, admin.ErrNotFound)
		case active:
			err = fmt.Errorf("slot %s is %w: switch it to the table, or stop it first", slot, admin.ErrInUse)
		case leader != "":
			err = fmt.Errorf("slot %s is %w, %q, which holds the lease: switch it to the table, or stop it first", slot, admin.ErrInUse, leader)
		default:
			// The one thing here that does not end with the transaction.
			err = r.run(ctx, statement{sql: `SELECT pg_drop_replication_slot($1)`, args: []any{slot}})
			if codeOf(err) == "55006" {
				err = fmt.Errorf("slot %s is %w: switch it to the table, or stop it first", slot, admin.ErrInUse)
			}
		}
		return "slot " + slot, "{}", err
	})
}
