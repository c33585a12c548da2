package memory

import (
	"context"
	"fmt"
	"slices"

	"tidings.example/admin"
	"tidings.example/inbox"
)

// Admin is what an operator can ask of a database and do to it.
type Admin struct{ db *DB }

var (
	_ admin.Parked = (*Admin)(nil)
	_ admin.Outbox = (*Admin)(nil)
)

// Audit returns what was done, in order.
func (a *Admin) Audit() []Audit {
	a.db.mu.Lock()
	defer a.db.mu.Unlock()
	return slices.Clone(a.db.audit)
}

// describe is called with the database's mutex held.
func (db *DB) describe(id int64, row parkedRow, ids []int64) admin.ParkedMessage {
	behind := 0
	for _, other := range ids {
		o := db.parked[other]
		if other < id && o.subscriber == row.subscriber && o.HeldKey() == row.HeldKey() {
			behind++
		}
	}
	return admin.ParkedMessage{
		ID: id, Subscriber: row.subscriber, Message: clone(&row.Message), Reason: row.Reason, Attempts: row.Attempts,
		ParkedAt: row.ParkedAt, Behind: behind, RetryAsked: db.held[heldKey{row.subscriber, row.HeldKey()}].retry,
	}
}

func (db *DB) allParked() []int64 {
	ids := make([]int64, 0, len(db.parked))
	for id := range db.parked {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// ListParked returns parked messages without payloads.
func (a *Admin) ListParked(_ context.Context, f admin.ParkedFilter) ([]admin.ParkedMessage, error) {
	a.db.mu.Lock()
	defer a.db.mu.Unlock()
	if f.Limit <= 0 {
		f.Limit = 100
	}
	var found []admin.ParkedMessage
	ids := a.db.allParked()
	for _, id := range ids {
		row := a.db.parked[id]
		if id <= f.After || f.Subscriber != "" && f.Subscriber != row.subscriber ||
			f.Channel != "" && f.Channel != row.Message.Channel || f.Key != "" && f.Key != row.Message.Key {
			continue
		}
		p := a.db.describe(id, row, ids)
		if f.Heads && p.Behind > 0 {
			continue
		}
		p.Message.Payload = nil
		if found = append(found, p); len(found) == f.Limit {
			break
		}
	}
	return found, nil
}

// GetParked returns one parked message.
func (a *Admin) GetParked(_ context.Context, id int64) (admin.ParkedMessage, error) {
	a.db.mu.Lock()
	defer a.db.mu.Unlock()
	row, ok := a.db.parked[id]
	if !ok {
		return admin.ParkedMessage{}, fmt.Errorf("get parked message %d: %w", id, admin.ErrNotFound)
	}
	return a.db.describe(id, row, a.db.allParked()), nil
}

// change runs f in a transaction that has the message's key locked, and records it.
func (a *Admin) change(ctx context.Context, did string, id int64, act admin.Action, f func(tx *Tx, row parkedRow, key heldKey) Audit) error {
	if err := act.Validate(); err != nil {
		return fmt.Errorf("%s: %w", did, err)
	}
	err := a.db.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		p, err := a.GetParked(ctx, id)
		if err != nil {
			return admin.ErrNotFound
		}
		key := heldKey{p.Subscriber, (&inbox.Parked{Message: p.Message}).HeldKey()}
		if err := tx.acquire(ctx, key); err != nil {
			return err
		}
		found := false
		err = tx.view(func(db *DB) {
			var row parkedRow
			if row, found = db.parked[id]; found {
				record := f(tx, row, key)
				record.At, record.Action, record.Did, record.Target = db.now(), act, did, fmt.Sprintf("parked message %d", id)
				tx.audit = append(tx.audit, record)
			}
		})
		if err == nil && !found {
			err = admin.ErrNotFound // handled while we waited for its key
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s %d: %w", did, id, err)
	}
	return nil
}

func (tx *Tx) askRetry(key heldKey) {
	h, _ := tx.held.get(tx.db.held, key)
	h.retry = true
	tx.held[key] = &h
}

// RetryParked asks for a retry of the message's key.
func (a *Admin) RetryParked(ctx context.Context, id int64, act admin.Action) error {
	return a.change(ctx, "retry parked message", id, act, func(tx *Tx, _ parkedRow, key heldKey) Audit {
		tx.askRetry(key)
		return Audit{}
	})
}

// EditParked replaces a message's payload.
func (a *Admin) EditParked(ctx context.Context, id int64, payload []byte, act admin.Action) error {
	return a.change(ctx, "edit parked message", id, act, func(tx *Tx, row parkedRow, _ heldKey) Audit {
		was := row.Message
		row.Message.Payload = slices.Clone(payload)
		tx.parked[id] = &row
		return Audit{Was: &was}
	})
}

// DiscardParked removes a message and asks for a retry of what is behind it.
func (a *Admin) DiscardParked(ctx context.Context, id int64, act admin.Action) error {
	return a.change(ctx, "discard parked message", id, act, func(tx *Tx, row parkedRow, key heldKey) Audit {
		tx.parked[id] = nil
		// With nothing left behind it, the retry releases the key.
		tx.askRetry(key)
		return Audit{Was: &row.Message}
	})
}
