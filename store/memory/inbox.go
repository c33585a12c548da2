package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"tidings.example"
	"tidings.example/inbox"
)

// An Inbox keeps the records of inboxes.
type Inbox struct{ db *DB }

var (
	_ inbox.Storage[*Tx] = (*Inbox)(nil)
	_ inbox.HeldCounter  = (*Inbox)(nil)
)

// InTx runs fn in a transaction.
func (in *Inbox) InTx(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return in.db.InTx(ctx, fn)
}

// Transient reports whether the error is a deadlock, or a saga's conflict.
func (in *Inbox) Transient(err error) bool { return transient(err) }

// Lock locks the records of the lanes, keys and ids, and returns them.
func (in *Inbox) Lock(ctx context.Context, tx *Tx, subscriber string, want inbox.Want) (inbox.Records, error) {
	for _, lane := range want.Lanes {
		if err := tx.acquire(ctx, laneKey{subscriber, lane}); err != nil {
			return inbox.Records{}, err
		}
	}
	for _, key := range want.Keys {
		if err := tx.acquire(ctx, heldKey{subscriber, key}); err != nil {
			return inbox.Records{}, err
		}
	}
	for _, id := range want.IDs {
		if err := tx.acquire(ctx, seenKey{subscriber, id}); err != nil {
			return inbox.Records{}, err
		}
	}
	var r inbox.Records
	err := tx.view(func(db *DB) {
		for _, lane := range want.Lanes {
			state, _ := tx.lanes.get(db.lanes, laneKey{subscriber, lane})
			state.Lane = lane
			state.Holes = slices.Clone(state.Holes)
			r.Lanes = append(r.Lanes, state)
		}
		for _, key := range want.Keys {
			_, held := tx.held.get(db.held, heldKey{subscriber, key})
			r.Held = append(r.Held, held)
		}
		for _, id := range want.IDs {
			_, seen := tx.seen.get(db.seen, seenKey{subscriber, id})
			r.Seen = append(r.Seen, seen)
		}
	})
	return r, err
}

// Save writes what has changed.
func (in *Inbox) Save(_ context.Context, tx *Tx, subscriber string, c inbox.Changes) error {
	return tx.view(func(db *DB) {
		now := db.now()
		for _, state := range c.Lanes {
			state.Holes = slices.Clone(state.Holes)
			state.HandledAt = micro(state.HandledAt)
			tx.lanes[laneKey{subscriber, state.Lane}] = &state
		}
		for _, id := range c.IDs {
			tx.seen[seenKey{subscriber, id}] = &now
		}
		for _, p := range c.Park {
			key := heldKey{subscriber, p.HeldKey()}
			if _, held := tx.held.get(db.held, key); !held {
				tx.held[key] = &hold{since: now}
			}
			db.lastParked++
			p.ID, p.ParkedAt, p.Message = db.lastParked, now, clone(&p.Message)
			tx.parked[p.ID] = &parkedRow{subscriber, p}
		}
	})
}

// Requests returns held keys whose retry was asked for, oldest first.
func (in *Inbox) Requests(_ context.Context, subscriber string, limit int) ([]inbox.HeldKey, error) {
	in.db.mu.Lock()
	defer in.db.mu.Unlock()
	var keys []inbox.HeldKey
	for k, h := range in.db.held {
		if k.subscriber == subscriber && h.retry {
			keys = append(keys, k.key)
		}
	}
	slices.SortFunc(keys, func(a, b inbox.HeldKey) int {
		return in.db.held[heldKey{subscriber, a}].since.Compare(in.db.held[heldKey{subscriber, b}].since)
	})
	return keys[:min(limit, len(keys))], nil
}

// First returns the key's oldest parked message, or releases the key.
func (in *Inbox) First(ctx context.Context, tx *Tx, subscriber string, key inbox.HeldKey) (*inbox.Parked, error) {
	k := heldKey{subscriber, key}
	if err := tx.acquire(ctx, k); err != nil {
		return nil, err
	}
	var first *inbox.Parked
	err := tx.view(func(db *DB) {
		ids := tx.parkedIDs(func(p parkedRow) bool { return p.subscriber == subscriber && p.HeldKey() == key })
		if len(ids) == 0 {
			tx.held[k] = nil
			return
		}
		row, _ := tx.parked.get(db.parked, ids[0])
		row.Message = clone(&row.Message)
		first = &row.Parked
	})
	return first, err
}

// Remove deletes a parked message.
func (in *Inbox) Remove(_ context.Context, tx *Tx, subscriber string, id int64) error {
	return tx.view(func(db *DB) {
		if row, ok := tx.parked.get(db.parked, id); ok && row.subscriber == subscriber {
			tx.parked[id] = nil
		}
	})
}

// Fail writes the message's attempts and reason, and takes the request back.
func (in *Inbox) Fail(ctx context.Context, tx *Tx, subscriber string, p *inbox.Parked) error {
	key := heldKey{subscriber, p.HeldKey()}
	if err := tx.acquire(ctx, key); err != nil {
		return err
	}
	return tx.view(func(db *DB) {
		if row, ok := tx.parked.get(db.parked, p.ID); ok && row.subscriber == subscriber {
			row.Attempts, row.Reason = p.Attempts, p.Reason
			tx.parked[p.ID] = &row
		}
		if h, ok := tx.held.get(db.held, key); ok {
			h.retry = false
			tx.held[key] = &h
		}
	})
}

// Forget removes old ids, the oldest first.
func (in *Inbox) Forget(_ context.Context, subscriber string, age time.Duration, limit int) (int, error) {
	db := in.db
	db.mu.Lock()
	defer db.mu.Unlock()
	var old []seenKey
	for key, at := range db.seen {
		if key.subscriber == subscriber && at.Before(db.now().Add(-age)) {
			old = append(old, key)
		}
	}
	slices.SortFunc(old, func(a, b seenKey) int { return cmp.Or(db.seen[a].Compare(db.seen[b]), cmp.Compare(a.id.ID, b.id.ID)) })
	old = old[:min(limit, len(old))]
	for _, key := range old {
		delete(db.seen, key)
	}
	return len(old), nil
}

// CountHeld returns how many keys are held, and for how long the oldest is.
func (in *Inbox) CountHeld(_ context.Context, subscriber string) (keys int, oldest time.Duration, _ error) {
	in.db.mu.Lock()
	defer in.db.mu.Unlock()
	for k, h := range in.db.held {
		if k.subscriber == subscriber {
			keys++
			oldest = max(oldest, in.db.now().Sub(h.since))
		}
	}
	return keys, oldest, nil
}

// micro is what databases keep of a time.
func micro(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// clone returns a copy that shares nothing with m.
func clone(m *tidings.Message) tidings.Message {
	c := *m
	c.Time = micro(m.Time)
	c.Payload = slices.Clone(m.Payload)
	if m.Headers != nil {
		c.Headers = make(tidings.Headers, len(m.Headers))
		for name, value := range m.Headers {
			c.Headers[name] = value
		}
	}
	return c
}
