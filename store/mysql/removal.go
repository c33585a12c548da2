package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

const (
	// removeChunk bounds the rows that one transaction of RemovePublished
	// removes, and so how long it holds locks.
	removeChunk = 500
	// removeTime bounds one call.
	removeTime = 500 * time.Millisecond
	// While a relay publishes more than busyRate rows/s, no more than calmRate
	// rows/s are removed, or what keeps the table from growing beyond what is
	// published in removeLag.
	busyRate  = 10_000
	calmRate  = 5_000
	removeLag = 20 * time.Second
)

const (
	// The end of a chunk of the first so many rows of a range.
	chunkEndSQL = `SELECT position FROM tidings_outbox WHERE position BETWEEN ? AND ? ORDER BY position LIMIT 1 OFFSET ?`

	removeChunkSQL = `DELETE FROM tidings_outbox WHERE position BETWEEN ? AND ?`

	// The lock keeps a switch to the table, after which a row may come back at
	// its old position, from happening before the transaction ends.
	savedSetSQL = `SELECT published FROM tidings_relay_log WHERE reading = 'log' LOCK IN SHARE MODE`

	// The log of a removal then holds positions only, not whole rows. It takes
	// a privilege that the user may lack.
	smallLogSQL = `SET SESSION binlog_row_image = 'MINIMAL'`
	usualLogSQL = `SET SESSION binlog_row_image = DEFAULT`
)

// removal is what RemovePublished remembers between calls. It is never needed:
// whoever knows nothing looks at the whole table once.
type removal struct {
	mu   sync.Mutex
	done []relay.Range // where nothing is left
	// The last call, to tell how busy the relay is.
	high int64
	at   time.Time
}

// reset forgets what is done, since rows may have come back.
func (r *removal) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done, r.at = nil, time.Time{}
}

var errNotPublished = errors.New("the rows are not published by what is saved")

// RemovePublished removes rows that were published from the table. It is for a
// relay that reads the log and has saved the set with its checkpoint. What the
// database has saved decides: rows that its set does not hold stay.
//
// It removes a few hundred rows in each transaction, with pauses, on a connection
// of its own, and returns after at most half a second and one such transaction.
// While much is published it only removes a little. So it is to be called again
// with the latest set, once a second or more often, also when nothing new was published: it
// asks the database nothing once all is removed. While another call runs it
// returns at once. It may be killed at any time: what is left is removed later.
func (db *DB) RemovePublished(ctx context.Context, set relay.PositionSet) error {
	r := &db.removal
	if !r.mu.TryLock() {
		return nil
	}
	defer r.mu.Unlock()
	published := sqlstore.PositionRanges(&set)
	left := sqlstore.Without(published, r.done)
	rows := r.budget(set.High, sqlstore.Count(left), time.Now())
	if len(left) == 0 {
		return nil
	}
	left, err := db.remove(ctx, left, rows, true)
	if errors.Is(err, errNotPublished) {
		r.done = nil
		return nil
	}
	r.done = sqlstore.Without(published, left)
	if err != nil {
		return fmt.Errorf("remove published rows: %w", err)
	}
	return nil
}

// budget returns how many rows a call may remove.
func (r *removal) budget(high, left int64, now time.Time) int64 {
	last, passed := r.high, now.Sub(r.at)
	if r.at.IsZero() { // nothing is known
		r.high, r.at = high, now
		return removeChunk
	}
	if passed < 50*time.Millisecond { // too short to tell
		return 0
	}
	r.high, r.at = high, now
	if float64(high-last) <= busyRate*passed.Seconds() {
		return left
	}
	rate := max(calmRate, float64(left)/removeLag.Seconds())
	return int64(rate * passed.Seconds())
}

// remove removes up to so many rows in ranges, with pauses if it is to be gentle,
// and returns what is left to do.
func (db *DB) remove(ctx context.Context, ranges []relay.Range, rows int64, gentle bool) ([]relay.Range, error) {
	if rows <= 0 {
		return ranges, nil
	}
	conn, err := db.inbox.Conn(ctx)
	if err != nil {
		return ranges, err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, smallLogSQL); err == nil {
		// Also where ctx is done: the connection goes back to the pool.
		defer func() { _, _ = conn.ExecContext(context.WithoutCancel(ctx), usualLogSQL) }()
	}
	for end := time.Now().Add(removeTime); len(ranges) > 0 && rows > 0; {
		start := time.Now()
		last, n, err := db.removeSome(ctx, conn, ranges[0])
		if err != nil {
			return ranges, err
		}
		rows -= n
		if ranges[0].First = last + 1; last == ranges[0].Last {
			ranges = ranges[1:]
		}
		if !start.Before(end) {
			break
		}
		if n == 0 || !gentle {
			continue
		}
		// As long as the others had to put up with it.
		select {
		case <-time.After(time.Since(start)):
		case <-ctx.Done():
			return ranges, ctx.Err()
		}
	}
	return ranges, nil
}

// removeSome removes the first rows of a range, in one transaction, and returns
// up to where nothing is left.
func (db *DB) removeSome(ctx context.Context, conn *sql.Conn, r relay.Range) (last, n int64, err error) {
	last = r.Last
	err = conn.QueryRowContext(ctx, chunkEndSQL, r.First, r.Last, removeChunk-1).Scan(&last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, 0, err
	}
	tx, err := conn.BeginTx(ctx, db.isolation())
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = tx.Rollback() }() // nothing after a commit
	result, err := tx.ExecContext(ctx, removeChunkSQL, r.First, last)
	if err != nil {
		return 0, 0, err
	}
	if n, err = result.RowsAffected(); err != nil || n == 0 {
		return last, 0, err
	}
	// Rows first, then what is saved: so does a switch to the table.
	if err := savedHolds(ctx, tx, relay.Range{First: r.First, Last: last}); err != nil {
		return 0, 0, err
	}
	return last, n, tx.Commit()
}

// savedHolds returns nil if all positions of the range are published by what is
// saved, and keeps it so until the transaction ends.
func savedHolds(ctx context.Context, tx *sql.Tx, r relay.Range) error {
	var encoded []byte
	err := tx.QueryRowContext(ctx, savedSetSQL).Scan(&encoded)
	if errors.Is(err, sql.ErrNoRows) {
		return errNotPublished
	}
	if err != nil {
		return err
	}
	saved, err := relay.DecodePositionSet(encoded)
	if err != nil {
		return err
	}
	if len(sqlstore.Without([]relay.Range{r}, sqlstore.PositionRanges(&saved))) > 0 {
		return errNotPublished
	}
	return nil
}
