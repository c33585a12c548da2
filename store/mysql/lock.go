package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"tidings.example"
	"tidings.example/inbox"
)

// Rows are locked through a list of values that is joined with the table in
// this order, one row after the other by the whole primary key. With the list
// in an IN the server might read more rows than those, and wait for their
// locks: instances that handle different lanes would wait for each other, and
// in any order.
const (
	laneListSQL = `SELECT %d AS i, CAST(? AS BINARY) AS source, CAST(? AS BINARY) AS epoch, CAST(? AS BINARY) AS channel, CAST(? AS SIGNED) AS lane`

	lockLanesSQL = `SELECT w.i, l.last, l.holes, l.gaps, l.late, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', l.handled_at)
	FROM (%s) w STRAIGHT_JOIN tidings_inbox_lane l
	ON l.subscriber = ? AND l.source = w.source AND l.epoch = w.epoch AND l.channel = w.channel AND l.lane = w.lane FOR UPDATE`

	addLanesSQL = `INSERT INTO tidings_inbox_lane (subscriber, source, epoch, channel, lane) VALUES `

	addLaneRowSQL = `(?, ?, ?, ?, ?)`

	addedLanesSQL = ` ON DUPLICATE KEY UPDATE last = last`

	keyListSQL = `SELECT %d AS i, CAST(? AS BINARY) AS source, CAST(? AS BINARY) AS channel, CAST(? AS BINARY) AS k`

	lockKeysSQL = `SELECT w.i FROM (%s) w STRAIGHT_JOIN tidings_inbox_held h
	ON h.subscriber = ? AND h.source = w.source AND h.channel = w.channel AND h.message_key = w.k FOR UPDATE`

	idListSQL = `SELECT %d AS i, CAST(? AS BINARY) AS source, CAST(? AS BINARY) AS id`

	lockIDsSQL = `SELECT w.i FROM (%s) w STRAIGHT_JOIN tidings_inbox_seen s
	ON s.subscriber = ? AND s.source = w.source AND s.id = w.id FOR UPDATE`

	slotListSQL = `SELECT %d AS slot`

	lockSlotsSQL = `SELECT s.slot FROM (%s) w STRAIGHT_JOIN tidings_inbox_slot s ON s.slot = w.slot FOR UPDATE`

	// listed bounds the length of a list.
	listed = 200
)

// Lock reads the records for update, and creates those of lanes that have none.
func (in *Inbox) Lock(ctx context.Context, tx *sql.Tx, subscriber string, want inbox.Want) (inbox.Records, error) {
	l := &locking{ctx: ctx, tx: tx, subscriber: subscriber}
	r, err := l.lock(want)
	if err != nil {
		return inbox.Records{}, fmt.Errorf("lock the inbox of %q: %w", subscriber, err)
	}
	return r, nil
}

// locking is one call of Lock.
type locking struct {
	ctx        context.Context
	tx         *sql.Tx
	subscriber string
}

func (l *locking) lock(want inbox.Want) (r inbox.Records, err error) {
	// Messages of one key are in one lane, whose row keeps others from them.
	// Ids, and keys that come without lanes, may have no row to lock.
	if len(want.IDs) > 0 || len(want.Lanes) == 0 {
		if err := l.slots(want); err != nil {
			return r, fmt.Errorf("slots: %w", err)
		}
	}
	if r.Lanes, err = l.lanes(want.Lanes); err != nil {
		return r, fmt.Errorf("lanes: %w", err)
	}
	if r.Held, err = found(l, keyListSQL, lockKeysSQL, want.Keys, keyArgs); err != nil {
		return r, fmt.Errorf("held keys: %w", err)
	}
	if r.Seen, err = found(l, idListSQL, lockIDsSQL, want.IDs, idArgs); err != nil {
		return r, fmt.Errorf("seen ids: %w", err)
	}
	return r, nil
}

func keyArgs(k inbox.HeldKey) []any { return []any{k.Source, k.Channel, k.Key} }

func idArgs(id inbox.MessageID) []any { return []any{id.Source, id.ID} }

// list returns the list's text: one part, with its index, for each value.
func list(part string, indexes []int) string {
	text := ""
	for n, i := range indexes {
		if n > 0 {
			text += " UNION ALL "
		}
		text += fmt.Sprintf(part, i)
	}
	return text
}

func upTo(from, to int) []int {
	indexes := make([]int, 0, to-from)
	for i := from; i < to; i++ {
		indexes = append(indexes, i)
	}
	return indexes
}

// found locks the rows of the values that have one, and tells which have.
func found[T any](l *locking, part, query string, values []T, argsOf func(T) []any) ([]bool, error) {
	has := make([]bool, len(values))
	for from := 0; from < len(values); from += listed {
		to := min(from+listed, len(values))
		var args []any
		for _, v := range values[from:to] {
			args = append(args, argsOf(v)...)
		}
		rows, err := l.tx.QueryContext(l.ctx, marked(fmt.Sprintf(query, list(part, upTo(0, to-from))), to-from), append(args, l.subscriber)...)
		if err != nil {
			return nil, err
		}
		if err := each(rows, func() error {
			var i int
			err := rows.Scan(&i)
			if err == nil {
				has[from+i] = true
			}
			return err
		}); err != nil {
			return nil, err
		}
	}
	return has, nil
}

// each calls fn for each row, and closes rows.
func each(rows *sql.Rows, fn func() error) error {
	defer rows.Close()
	for rows.Next() {
		if err := fn(); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (l *locking) lanes(lanes []tidings.Lane) ([]inbox.LaneState, error) {
	states := make([]inbox.LaneState, len(lanes))
	for i, lane := range lanes {
		states[i].Lane = lane
	}
	for from := 0; from < len(lanes); from += listed {
		missing, err := l.read(states, upTo(from, min(from+listed, len(lanes))))
		if err == nil && len(missing) > 0 {
			// Somebody else may add them at the same time and may have got
			// further, so they are read again.
			if err = l.add(states, missing); err == nil {
				_, err = l.read(states, missing)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return states, nil
}

// read fills in the states at indexes, and returns those that have no row.
func (l *locking) read(states []inbox.LaneState, indexes []int) (missing []int, err error) {
	var args []any
	for _, i := range indexes {
		lane := &states[i].Lane
		args = append(args, lane.Source, lane.Epoch, lane.Channel, lane.N)
	}
	query := marked(fmt.Sprintf(lockLanesSQL, list(laneListSQL, upTo(0, len(indexes)))), len(indexes))
	rows, err := l.tx.QueryContext(l.ctx, query, append(args, l.subscriber)...)
	if err != nil {
		return nil, err
	}
	has := map[int]bool{}
	err = each(rows, func() error {
		var n int
		var s inbox.LaneState
		var holes []byte
		var handled sql.NullInt64
		if err := rows.Scan(&n, &s.Last, &holes, &s.Gaps, &s.Late, &handled); err != nil {
			return err
		}
		i := indexes[n]
		if handled.Valid {
			s.HandledAt = time.UnixMicro(handled.Int64).UTC()
		}
		s.Lane = states[i].Lane
		s.Holes, err = inbox.DecodeHoles(holes)
		states[i], has[i] = s, true
		return err
	})
	for _, i := range indexes {
		if !has[i] {
			missing = append(missing, i)
		}
	}
	return missing, err
}

func (l *locking) add(states []inbox.LaneState, indexes []int) error {
	var args []any
	for _, i := range indexes {
		lane := &states[i].Lane
		args = append(args, l.subscriber, lane.Source, lane.Epoch, lane.Channel, lane.N)
	}
	_, err := l.tx.ExecContext(l.ctx, addLanesSQL+repeat(addLaneRowSQL, ", ", len(indexes))+addedLanesSQL, args...)
	return err
}

// slotCount is how many rows the migration has put into tidings_inbox_slot.
const slotCount = 1000

// slots locks the rows that stand for ids and keys.
func (l *locking) slots(want inbox.Want) error {
	var slots []int
	for _, k := range want.Keys {
		slots = append(slots, slotOf(l.subscriber, "key", k.Source, k.Channel, k.Key))
	}
	for _, id := range want.IDs {
		slots = append(slots, slotOf(l.subscriber, "id", id.Source, id.ID))
	}
	slices.SortFunc(slots, cmp.Compare)
	for some := range slices.Chunk(slices.Compact(slots), listed) {
		rows, err := l.tx.QueryContext(l.ctx, fmt.Sprintf(lockSlotsSQL, list(slotListSQL, some)))
		if err != nil {
			return err
		}
		n := 0
		if err := each(rows, func() error { n++; return nil }); err != nil {
			return err
		}
		if n != len(some) {
			return fmt.Errorf("the table tidings_inbox_slot lacks rows from 0 to %d: insert them", slotCount-1)
		}
	}
	return nil
}

func slotOf(parts ...string) int {
	h := fnv.New32a()
	for _, part := range parts {
		_, _ = h.Write([]byte(part)) // a hash never fails
		_, _ = h.Write([]byte{0})
	}
	return int(h.Sum32() % slotCount)
}
