package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"tidings.example/admin"
	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

const (
	savedLogSQL = `SELECT reading, asked, COALESCE(position, ''), COALESCE(published, ''), saved_at, tableless_at FROM tidings_relay_log`

	// leaderSQL returns who holds the lease now, or nothing.
	leaderSQL = `SELECT holder FROM tidings_relay WHERE holder <> '' AND expires_at > UTC_TIMESTAMP(6)`

	// One lease, locked before everything else, as relays do.
	lockLeaderSQL = `SELECT IF(expires_at > UTC_TIMESTAMP(6), holder, '') FROM tidings_relay FOR UPDATE`

	lockSavedSQL = `SELECT reading, COALESCE(position, ''), COALESCE(published, ''),
		COALESCE(tableless_at > UTC_TIMESTAMP(6) - INTERVAL 1 DAY, 0), tableless_at FROM tidings_relay_log FOR UPDATE`

	askReadingSQL = `UPDATE tidings_relay_log SET asked = IF(reading = ?, '', ?)`

	// What was read while the log was kept stays known.
	dropLogSQL = `UPDATE tidings_relay_log SET position = NULL, aside = NULL, published = NULL, saved_at = NULL`

	// The next relay opens an epoch: what was published behind the checkpoint
	// has numbers that nobody knows.
	endEpochSQL = `UPDATE tidings_relay SET epoch = ''`

	binlogSQL = `SELECT @@log_bin, @@GLOBAL.binlog_format`

	// The purged GTIDs of MySQL tell whether a position can be read on from.
	purgedSQL = `SELECT GTID_SUBSET(@@GLOBAL.gtid_purged, ?)`
)

var _ admin.Log = (*Admin)(nil)

// snapshot is a transaction in which one moment is seen.
var snapshot = &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}

// inSnapshot runs fn in such a transaction.
func (a *Admin) inSnapshot(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := a.db.inbox.BeginTx(ctx, snapshot)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // it has written nothing
	return fn(tx)
}

// LogStatus describes the reading of the binary log. What the server keeps of it is
// known to users with the privilege REPLICATION CLIENT (BINLOG MONITOR on
// MariaDB), and -1 for others. Counting takes as long as there are published
// rows in the table.
func (a *Admin) LogStatus(ctx context.Context) (admin.LogStatus, error) {
	st := admin.LogStatus{Reading: string(relay.FromTable), Behind: -1, Retained: -1}
	err := a.inSnapshot(ctx, func(tx *sql.Tx) error {
		var encoded []byte
		var saved, tableless sql.NullTime
		err := tx.QueryRowContext(ctx, savedLogSQL).Scan(&st.Reading, &st.Asked, &st.Position, &encoded, &saved, &tableless)
		if err != nil {
			return ignoreNoRows(err)
		}
		st.SavedAt, st.Tableless = utc(saved), utc(tableless)
		var holder string
		if err := tx.QueryRowContext(ctx, leaderSQL).Scan(&holder); ignoreNoRows(err) != nil {
			return err
		}
		st.Active = holder != "" && st.Reading == string(relay.FromLog)
		set, err := relay.DecodePositionSet(encoded)
		if err != nil {
			return err
		}
		st.Published, _, err = countRows(ctx, tx, sqlstore.PositionRanges(&set))
		return err
	})
	if err == nil && st.Position != "" {
		err = a.measure(ctx, &st)
	}
	if err != nil {
		return st, fmt.Errorf("read the state of the log: %w", a.db.advise(ctx, err))
	}
	return st, nil
}

func ignoreNoRows(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

func utc(t sql.NullTime) time.Time {
	if !t.Valid {
		return time.Time{}
	}
	return t.Time.UTC()
}

// measure finds the saved position in the server's files.
func (a *Admin) measure(ctx context.Context, st *admin.LogStatus) error {
	if set, ok := strings.CutPrefix(st.Position, "gtid:"); ok && !a.db.server.mariadb {
		set, _, _ = strings.Cut(set, "@")
		var there sql.NullBool
		err := a.db.inbox.QueryRowContext(ctx, purgedSQL, set).Scan(&there)
		if err != nil {
			return err
		}
		if there.Valid && !there.Bool {
			st.Lost = "the server has purged transactions from its binary log that were not read: raise binlog_expire_logs_seconds"
		}
	}
	file, offset, ok := placeOf(st.Position)
	if !ok {
		return nil
	}
	files, err := a.db.binaryLogs(ctx)
	if err != nil || len(files) == 0 {
		return err
	}
	st.Behind, st.Retained = reach(files, file, offset)
	first := files[0].Name
	// Another server has files of its own; by GTID it may go on all the same.
	lost := st.Behind < 0 && (strings.HasPrefix(st.Position, "file:") || a.db.server.mariadb && older(file, first))
	if lost && !st.Active && st.Lost == "" {
		st.Lost = fmt.Sprintf("the server does not have the file %s of its binary log any more, the first one is %s: raise expire_logs_days or binlog_expire_logs_seconds", file, first)
	}
	return nil
}

// AskReading asks the leading relay to read from somewhere else.
func (a *Admin) AskReading(ctx context.Context, reading string, force bool, act admin.Action) error {
	const what = "switch where rows are read from"
	switch relay.Reading(reading) {
	case relay.FromTable:
	case relay.FromLog:
		if err := a.db.readable(ctx); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	default:
		return fmt.Errorf("%s: reading is %q: give %q or %q", what, reading, relay.FromTable, relay.FromLog)
	}
	return a.change(ctx, what, act, func(tx *sql.Tx) (string, string, error) {
		before, err := lockSaved(ctx, tx)
		if err == nil && before.recently && !force && reading == string(relay.FromTable) && before.reading != relay.FromTable {
			err = fmt.Errorf("%w, the last one was read at %s: they cannot be read from the table; append to the table for a day first, or force it",
				admin.ErrTableless, before.tableless.Time.UTC().Format(time.RFC3339))
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, askReadingSQL, reading, reading)
		}
		return "reading from the " + reading, fmt.Sprintf(`{"before":%q,"force":%t}`, before.reading, force), err
	})
}

// readable returns an error unless rows can be read from the server's log.
func (db *DB) readable(ctx context.Context) error {
	var on bool
	var format string
	if err := db.inbox.QueryRowContext(ctx, binlogSQL).Scan(&on, &format); err != nil {
		return err
	}
	switch {
	case !on:
		return errors.New("the server keeps no binary log: set log_bin and restart it")
	case format != "ROW":
		return fmt.Errorf("the server's binlog_format is %s: set binlog_format = ROW, and let open connections end", format)
	}
	return nil
}

// saved is the locked row of what is saved.
type saved struct {
	reading   relay.Reading
	position  string
	published []byte
	recently  bool
	tableless sql.NullTime
}

func lockSaved(ctx context.Context, tx *sql.Tx) (saved, error) {
	var s saved
	row := func() error {
		return tx.QueryRowContext(ctx, lockSavedSQL).Scan(&s.reading, &s.position, &s.published, &s.recently, &s.tableless)
	}
	err := row()
	if errors.Is(err, sql.ErrNoRows) { // somebody has emptied the table
		if _, err = tx.ExecContext(ctx, firstLogStateSQL); err == nil {
			err = row()
		}
	}
	return s, err
}

// DropLog forgets the checkpoint: the server keeps its log for whatever reason,
// and nothing of it for a relay. Rows that the checkpoint counts as published
// are removed from the table, since nothing else tells that they are.
func (a *Admin) DropLog(ctx context.Context, act admin.Action) error {
	const what = "forget the position in the log"
	if err := act.Validate(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := a.db.removeSaved(ctx); err != nil {
		return fmt.Errorf("%s: remove published rows: %w", what, a.db.advise(ctx, err))
	}
	return a.change(ctx, what, act, func(tx *sql.Tx) (string, string, error) {
		var holder string
		if err := tx.QueryRowContext(ctx, lockLeaderSQL).Scan(&holder); ignoreNoRows(err) != nil {
			return "", "", err
		}
		// Rows of the outbox are locked before what is saved; see RemovePublished.
		published, err := publishedAt(ctx, tx, nil)
		if err == nil {
			err = removeIn(ctx, tx, published)
		}
		if err != nil {
			return "", "", err
		}
		before, err := lockSaved(ctx, tx)
		switch {
		case err != nil:
		case before.position == "" && len(before.published) == 0:
			err = fmt.Errorf("a saved position: %w", admin.ErrNotFound)
		case holder != "" && before.reading == relay.FromLog:
			err = fmt.Errorf("the log is %w, %q, which holds the lease: switch it to the table, or stop it first", admin.ErrInUse, holder)
		default:
			err = runSteps(ctx, tx, []step{{query: dropLogSQL}, {query: endEpochSQL}})
		}
		return "binary log at " + before.position, "{}", err
	})
}
