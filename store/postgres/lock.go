package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"tidings.example"
	"tidings.example/inbox"
)

// Rows are locked in the order of the arrays, which is the same in all
// transactions. One row, which is what most messages need, is found without the
// arrays, which cost more than the rest of the statement.
const (
	lockLaneSQL = `SELECT 1, last, holes, gaps, late, handled_at FROM tidings_inbox_lane
	WHERE subscriber = $1 AND source = $2 AND epoch = $3 AND channel = $4 AND lane = $5 FOR UPDATE`

	lockLanesSQL = `SELECT w.n, l.last, l.holes, l.gaps, l.late, l.handled_at
	FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY AS w (source, epoch, channel, lane, n)
	JOIN tidings_inbox_lane l ON l.subscriber = $1 AND l.source = w.source AND l.epoch = w.epoch AND l.channel = w.channel AND l.lane = w.lane
	ORDER BY w.n FOR UPDATE OF l`

	addLanesSQL = `INSERT INTO tidings_inbox_lane (subscriber, source, epoch, channel, lane)
	SELECT $1, w.source, w.epoch, w.channel, w.lane
	FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY AS w (source, epoch, channel, lane, n)
	ORDER BY w.n ON CONFLICT DO NOTHING`

	lockKeySQL = `SELECT 1 FROM tidings_inbox_held
	WHERE subscriber = $1 AND source = $2 AND channel = $3 AND message_key = $4 FOR UPDATE`

	lockKeysSQL = `SELECT w.n
	FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS w (source, channel, message_key, n)
	JOIN tidings_inbox_held h ON h.subscriber = $1 AND h.source = w.source AND h.channel = w.channel AND h.message_key = w.message_key
	ORDER BY w.n FOR UPDATE OF h`

	// There is no row to lock for an id that was not seen.
	lockIDsSQL = `SELECT count(pg_advisory_xact_lock(w.k)) FROM unnest($1::bigint[]) AS w (k)`

	seenSQL = `SELECT w.n
	FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS w (source, id, n)
	JOIN tidings_inbox_seen s ON s.subscriber = $1 AND s.source = w.source AND s.id = w.id`
)

// maxLockedIDs bounds the advisory locks of a transaction: the server has room
// for some thousands in all. Beyond it two transactions may handle one message at
// the same time; the later one then fails when it records the id, and is tried again.
const maxLockedIDs = 256

// Lock locks and reads in one round trip (in one for each kind of record with
// database/sql), unless lanes are new.
func (in *Inbox[Tx]) Lock(ctx context.Context, tx Tx, subscriber string, want inbox.Want) (inbox.Records, error) {
	// What is read after the lanes must be read again once lanes were added:
	// another transaction may have added one, held it, and parked a message.
	for {
		l := &locking{subscriber: subscriber, want: want}
		if err := in.on(tx).run(ctx, l.statements()...); err != nil {
			return inbox.Records{}, fmt.Errorf("lock the inbox of %q: %w", subscriber, in.db.advise(ctx, err))
		}
		missing := l.missing()
		if len(missing) == 0 {
			return l.records, nil
		}
		args := append([]any{subscriber}, laneArrays(missing)...)
		if err := in.on(tx).run(ctx, statement{sql: addLanesSQL, args: args}); err != nil {
			return inbox.Records{}, fmt.Errorf("add lanes to the inbox of %q: %w", subscriber, err)
		}
	}
}

// locking is one attempt of Lock.
type locking struct {
	subscriber string
	want       inbox.Want
	records    inbox.Records
	found      []bool // by lane
}

func (l *locking) statements() []statement {
	l.records = inbox.Records{
		Lanes: make([]inbox.LaneState, len(l.want.Lanes)),
		Held:  make([]bool, len(l.want.Keys)),
		Seen:  make([]bool, len(l.want.IDs)),
	}
	l.found = make([]bool, len(l.want.Lanes))
	var all []statement
	switch lanes := l.want.Lanes; len(lanes) {
	case 0:
	case 1:
		all = append(all, statement{sql: lockLaneSQL, row: l.lane,
			args: []any{l.subscriber, lanes[0].Source, lanes[0].Epoch, lanes[0].Channel, lanes[0].N}})
	default:
		all = append(all, statement{sql: lockLanesSQL, row: l.lane, args: append([]any{l.subscriber}, laneArrays(lanes)...)})
	}
	if len(l.want.IDs) > 0 {
		all = append(all, statement{sql: lockIDsSQL, args: []any{idLocks(l.subscriber, l.want.IDs)}})
	}
	switch keys := l.want.Keys; len(keys) {
	case 0:
	case 1:
		all = append(all, statement{sql: lockKeySQL, row: mark(l.records.Held),
			args: []any{l.subscriber, keys[0].Source, keys[0].Channel, keys[0].Key}})
	default:
		all = append(all, statement{sql: lockKeysSQL, row: mark(l.records.Held), args: append([]any{l.subscriber}, keyArrays(keys)...)})
	}
	if ids := l.want.IDs; len(ids) > 0 {
		all = append(all, statement{sql: seenSQL, row: mark(l.records.Seen), args: append([]any{l.subscriber}, idArrays(ids)...)})
	}
	return all
}

func (l *locking) lane(scan func(...any) error) error {
	var n int
	var last, gaps, late int64
	var holes []byte
	var handled sql.Null[time.Time]
	if err := scan(&n, &last, &holes, &gaps, &late, &handled); err != nil {
		return err
	}
	decoded, err := inbox.DecodeHoles(holes)
	if err != nil {
		return err
	}
	l.found[n-1] = true
	state := inbox.LaneState{Lane: l.want.Lanes[n-1], Last: uint64(last), Holes: decoded, Gaps: uint64(gaps), Late: uint64(late)}
	if handled.Valid {
		state.HandledAt = handled.V.UTC()
	}
	l.records.Lanes[n-1] = state
	return nil
}

func (l *locking) missing() []tidings.Lane {
	var missing []tidings.Lane
	for i, found := range l.found {
		if !found {
			missing = append(missing, l.want.Lanes[i])
		}
	}
	return missing
}

// mark sets what the rows have the numbers of, counted from 1.
func mark(flags []bool) func(scan func(...any) error) error {
	return func(scan func(...any) error) error {
		var n int
		if err := scan(&n); err != nil {
			return err
		}
		flags[n-1] = true
		return nil
	}
}

func laneArrays(lanes []tidings.Lane) []any {
	n := len(lanes)
	sources, epochs, channels, numbers := make([]string, n), make([]string, n), make([]string, n), make([]int64, n)
	for i, l := range lanes {
		sources[i], epochs[i], channels[i], numbers[i] = l.Source, l.Epoch, l.Channel, int64(l.N)
	}
	return []any{sources, epochs, channels, numbers}
}

func keyArrays(keys []inbox.HeldKey) []any {
	n := len(keys)
	sources, channels, texts := make([]string, n), make([]string, n), make([]string, n)
	for i, k := range keys {
		sources[i], channels[i], texts[i] = k.Source, k.Channel, k.Key
	}
	return []any{sources, channels, texts}
}

func idArrays(ids []inbox.MessageID) []any {
	n := len(ids)
	sources, texts := make([]string, n), make([]string, n)
	for i, id := range ids {
		sources[i], texts[i] = id.Source, id.ID
	}
	return []any{sources, texts}
}

// idLocks returns the keys of the advisory locks of ids, in order.
func idLocks(subscriber string, ids []inbox.MessageID) []int64 {
	if len(ids) > maxLockedIDs {
		ids = ids[:maxLockedIDs]
	}
	keys := make([]int64, len(ids))
	for i, id := range ids {
		h := fnv.New64a()
		// A hash returns no error. The zero bytes are in none of the parts.
		for _, part := range []string{"tidings seen", subscriber, id.Source, id.ID} {
			_, _ = h.Write([]byte(part + "\x00"))
		}
		keys[i] = int64(h.Sum64())
	}
	slices.Sort(keys)
	return keys
}
