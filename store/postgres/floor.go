package postgres

import (
	"slices"
	"time"

	"tidings.example/relay"
)

// floor keeps a session from looking again and again where nothing can appear.
// Once a second a relay reads everything below its highest position, since rows
// of slow transactions appear there. That costs as much as rows were removed
// and are not vacuumed yet, which are millions while somebody holds an old snapshot.
//
// Whoever has taken a position holds the table's lock until its transaction ends.
// So when all transactions that held it during one such read have ended before a
// later one, the later one sees all that will ever be below the first one's
// highest position, and what comes after it can begin there.
type floor struct {
	off bool
	// position is the highest one that need not be looked for again, nor any below.
	position int64
	// high is the highest position of an earlier read, and lockers are the
	// transactions that held the lock then.
	high    int64
	lockers []string
	// whole is when a read was not cut short.
	whole time.Time
}

// wholeInterval is how often everything is read all the same: for rows that
// somebody has inserted with positions of their own choice.
const wholeInterval = time.Minute

const (
	lockersSQL = `SELECT virtualtransaction FROM pg_locks
	WHERE locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND relation = $1 AND mode = 'RowExclusiveLock' AND pid IS DISTINCT FROM pg_backend_pid()`

	// Sessions that take several positions at a time use some of them later.
	sequenceCacheSQL = `SELECT seqcache FROM pg_sequence WHERE seqrelid = pg_get_serial_sequence('tidings_outbox', 'position')::regclass`
)

// isSweep recognizes a read of everything below a position. Where its ranges
// leave something out, that was read before and is on its way.
func isSweep(q relay.Query) bool {
	return q.Limit == 0 && q.RangeLimit > 0 && len(q.Ranges) > 0 && q.Ranges[0].First <= 1
}

// clip returns the query's ranges without what need not be read.
func (f *floor) clip(q relay.Query, now time.Time) []relay.Range {
	// Without a limit certain rows are meant, not all that there are.
	if f.off || q.RangeLimit == 0 {
		return q.Ranges
	}
	if isSweep(q) && now.Sub(f.whole) >= wholeInterval {
		f.whole = now
		return q.Ranges
	}
	first := slices.IndexFunc(q.Ranges, func(r relay.Range) bool { return r.Last > f.position })
	if first < 0 {
		return nil
	}
	ranges := q.Ranges[first:]
	if ranges[0].First <= f.position {
		ranges = slices.Clone(ranges)
		ranges[0].First = f.position + 1
	}
	return ranges
}

// swept notes a read up to high that returned everything, with the
// transactions that held the lock just before it.
func (f *floor) swept(high int64, lockers []string) {
	ended := !slices.ContainsFunc(f.lockers, func(tx string) bool { return slices.Contains(lockers, tx) })
	if !ended {
		return
	}
	f.position = max(f.position, f.high)
	f.high, f.lockers = high, lockers
}

// reset is for rows that are put back to their old positions.
func (f *floor) reset() { *f = floor{off: f.off} }
