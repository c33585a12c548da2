package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

const (
	// While a relay publishes more than busyRate rows/s, no more than calmRate
	// rows/s are removed, or what keeps the table from growing beyond what is
	// published in removeLag. paceTime is how long it is watched to tell.
	busyRate  = 10_000
	calmRate  = 5_000
	removeLag = 20 * time.Second
	paceTime  = 100 * time.Millisecond
)

const (
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
	mu sync.Mutex
	// done is where nothing is left, and once where nothing was found the last
	// time. A row is in the log a moment before it can be seen in the table, so a range is looked
	// at again in the next call.
	done, once []relay.Range
	stale      atomic.Bool // rows may have come back since
}

var errNotPublished = errors.New("the rows are not published by what is saved")

// RemovePublished removes rows that were published from the table. It is for a
// relay that reads the log and has saved the set with its checkpoint. What the
// database has saved decides: rows that its set does not hold stay.
//
// It returns when all rows of the set are removed, or ctx is done. It removes a few
// hundred rows in each transaction, on a connection of its own, and rests as long
// as each has taken; while much is published it only removes a little. It asks
// the database nothing where an earlier call has removed all, and returns at once
// while another call runs. It may be killed at any time: what is left is removed
// later.
func (db *DB) RemovePublished(ctx context.Context, set relay.PositionSet) error {
	r := &db.removal
	if !r.mu.TryLock() {
		return nil
	}
	defer r.mu.Unlock()
	if r.stale.Swap(false) {
		r.done, r.once = nil, nil
	}
	published := sqlstore.PositionRanges(&set)
	left, err := db.remove(ctx, sqlstore.Without(published, r.done), &pace{})
	if errors.Is(err, errNotPublished) {
		r.done, r.once = nil, nil
		return nil
	}
	done := sqlstore.Without(published, left)
	// What was clear the last time, and is so now.
	r.done, r.once = sqlstore.Without(done, sqlstore.Without(done, r.once)), done
	if err != nil {
		return fmt.Errorf("remove published rows: %w", err)
	}
	return nil
}

// A pace is how fast rows are removed. It watches how fast others are published.
type pace struct {
	high int64
	at   time.Time
	calm bool // little is published
}

// rest returns how long to rest after n rows have taken so long, where so many
// positions are left to look at, and the highest published one is high.
func (p *pace) rest(n, left, high int64, took time.Duration, now time.Time) time.Duration {
	if p.at.IsZero() {
		p.high, p.at = high, now
	}
	if passed := now.Sub(p.at); passed >= paceTime {
		p.calm = float64(high-p.high) <= busyRate*passed.Seconds()
		p.high, p.at = high, now
	}
	if p.calm {
		return took
	}
	rate := max(calmRate, float64(left)/removeLag.Seconds())
	return max(took, time.Duration(float64(n)/rate*float64(time.Second))-took)
}

// remove removes rows in ranges, without rests if p is nil, and returns what is
// left to do after an error.
func (db *DB) remove(ctx context.Context, ranges []relay.Range, p *pace) ([]relay.Range, error) {
	if len(ranges) == 0 {
		return nil, nil
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
	for len(ranges) > 0 {
		start := time.Now()
		last, n, high, err := db.removeSome(ctx, conn, ranges[0])
		if err != nil {
			return ranges, err
		}
		if ranges[0].First = last + 1; last == ranges[0].Last {
			ranges = ranges[1:]
		}
		if n == 0 || p == nil {
			continue
		}
		now := time.Now()
		timer := time.NewTimer(p.rest(n, sqlstore.Count(ranges), high, now.Sub(start), now))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ranges, ctx.Err()
		}
	}
	return nil, nil
}

// removeSome removes the first rows of a range, in one transaction. It returns up
// to where nothing is left, how many rows it has removed, and the highest
// position that is published by now.
func (db *DB) removeSome(ctx context.Context, conn *sql.Conn, r relay.Range) (last, n, high int64, err error) {
	positions, err := positionsIn(ctx, conn, r)
	if err != nil || len(positions) == 0 {
		return r.Last, 0, 0, err
	}
	if last = r.Last; len(positions) == removeRows {
		last = positions[removeRows-1]
	}
	tx, err := conn.BeginTx(ctx, db.isolation())
	if err != nil {
		return 0, 0, 0, err
	}
	defer func() { _ = tx.Rollback() }() // nothing after a commit
	remove := removeSteps(positions)[0]
	result, err := tx.ExecContext(ctx, remove.query, remove.args...)
	if err != nil {
		return 0, 0, 0, err
	}
	if n, err = result.RowsAffected(); err != nil || n == 0 {
		return last, 0, 0, err
	}
	// Rows first, then what is saved: so does a switch to the table.
	if high, err = savedHolds(ctx, tx, relay.Range{First: r.First, Last: last}); err != nil {
		return 0, 0, 0, err
	}
	return last, n, high, tx.Commit()
}

// savedHolds returns an error unless all positions of the range are published by
// what is saved, keeps it so until the transaction ends, and returns the highest
// of what is saved.
func savedHolds(ctx context.Context, tx *sql.Tx, r relay.Range) (high int64, err error) {
	var encoded []byte
	err = tx.QueryRowContext(ctx, savedSetSQL).Scan(&encoded)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, errNotPublished
	}
	if err != nil {
		return 0, err
	}
	saved, err := relay.DecodePositionSet(encoded)
	if err != nil {
		return 0, err
	}
	if len(sqlstore.Without([]relay.Range{r}, sqlstore.PositionRanges(&saved))) > 0 {
		return 0, errNotPublished
	}
	return saved.High, nil
}
