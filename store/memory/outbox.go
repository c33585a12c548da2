package memory

import (
	"context"
	"slices"
	"time"

	"tidings.example"
	"tidings.example/outbox"
	"tidings.example/relay"
)

type outboxStore struct{ db *DB }

var _ outbox.Store[*Tx] = outboxStore{}

// Insert adds the messages. Positions that a rolled-back transaction got stay unused.
func (s outboxStore) Insert(_ context.Context, tx *Tx, ms []tidings.Message) error {
	return tx.view(func(db *DB) {
		for i := range ms {
			db.lastPosition++
			m := clone(&ms[i])
			m.Source, m.Stamp = "", tidings.Stamp{}
			tx.appended = append(tx.appended, outboxRow{position: db.lastPosition, message: m})
		}
	})
}

type outboxRow struct {
	position int64
	message  tidings.Message
}

type asideRow struct {
	outboxRow
	key    relay.HeldKey
	reason string
	at     time.Time
	retry  bool
}

// outboxTable is the outbox and its set-aside rows, by position.
type outboxTable struct {
	rows  []outboxRow
	aside []asideRow
	// commits counts those that added rows; more is closed, and replaced, by each.
	commits uint64
	more    chan struct{}
}

func newOutboxTable() outboxTable { return outboxTable{more: make(chan struct{})} }

func (t *outboxTable) add(rows []outboxRow) {
	if len(rows) == 0 {
		return
	}
	for _, r := range rows {
		i := t.from(r.position)
		t.rows = slices.Insert(t.rows, i, r)
	}
	t.commits++
	close(t.more)
	t.more = make(chan struct{})
}

// from returns the index of the first row at or above the position.
func (t *outboxTable) from(position int64) int {
	i, _ := slices.BinarySearchFunc(t.rows, position, func(r outboxRow, p int64) int { return int(r.position - p) })
	return i
}

// remove takes a row out.
func (t *outboxTable) remove(position int64) (outboxRow, bool) {
	i := t.from(position)
	if i == len(t.rows) || t.rows[i].position != position {
		return outboxRow{}, false
	}
	r := t.rows[i]
	t.rows = slices.Delete(t.rows, i, i+1)
	return r, true
}

func (t *outboxTable) removeAll(positions []int64) {
	gone := make(map[int64]bool, len(positions))
	for _, p := range positions {
		gone[p] = true
	}
	t.rows = slices.DeleteFunc(t.rows, func(r outboxRow) bool { return gone[r.position] })
}

// read returns the rows that a query selects.
func (t *outboxTable) read(q relay.Query) []relay.Row {
	var found []relay.Row
	take := func(r outboxRow) { found = append(found, relay.Row{Position: r.position, Message: clone(&r.message)}) }
	for _, span := range q.Ranges {
		for i := t.from(span.First); i < len(t.rows) && t.rows[i].position <= span.Last; i++ {
			if q.RangeLimit > 0 && len(found) == q.RangeLimit {
				break
			}
			take(t.rows[i])
		}
	}
	bytes := 0
	for i, n := t.from(q.After+1), 0; i < len(t.rows) && n < q.Limit; i, n = i+1, n+1 {
		take(t.rows[i])
		if bytes += len(t.rows[i].message.Payload); q.Bytes > 0 && bytes >= q.Bytes {
			break
		}
	}
	return found
}

// setAside moves a row out of the outbox.
func (t *outboxTable) setAside(s relay.SetAside, now time.Time) {
	if r, ok := t.remove(s.Position); ok {
		t.aside = append(t.aside, asideRow{outboxRow: r, key: relay.HeldKey{Channel: s.Key.Channel, Key: s.Key.Key}, reason: s.Reason, at: now})
		slices.SortFunc(t.aside, func(a, b asideRow) int { return int(a.position - b.position) })
	}
}

// giveBack moves the set-aside rows of a key back into the outbox.
func (t *outboxTable) giveBack(key relay.HeldKey) {
	key.Retry = false
	var back []outboxRow
	t.aside = slices.DeleteFunc(t.aside, func(r asideRow) bool {
		if r.key == key {
			back = append(back, r.outboxRow)
		}
		return r.key == key
	})
	t.add(back)
}

// held returns the keys of set-aside rows.
func (t *outboxTable) held() []relay.HeldKey {
	var keys []relay.HeldKey
	for _, r := range t.aside {
		i := slices.IndexFunc(keys, func(k relay.HeldKey) bool { return k.Channel == r.key.Channel && k.Key == r.key.Key })
		if i < 0 {
			i = len(keys)
			keys = append(keys, r.key)
		}
		keys[i].Retry = keys[i].Retry || r.retry
	}
	return keys
}
