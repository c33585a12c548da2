package memory

import (
	"context"
	"fmt"

	"tidings.example/admin"
	"tidings.example/relay"
)

// Backlog describes what is not published yet.
func (a *Admin) Backlog(context.Context) (admin.Backlog, error) {
	db := a.db
	db.mu.Lock()
	defer db.mu.Unlock()
	l := &db.lease
	b := admin.Backlog{Rows: int64(len(db.outbox.rows)), SetAside: int64(len(db.outbox.aside)),
		Source: l.source, Fence: l.fence, Epoch: l.epoch}
	if len(db.outbox.rows) > 0 {
		b.Oldest = max(0, db.now().Sub(db.outbox.rows[0].message.Time))
	}
	if left := l.expires.Sub(db.now()); l.holder != "" && left > 0 {
		b.Holder, b.Expires = l.holder, left
	}
	return b, nil
}

// ListSetAside returns set-aside rows by position; limit defaults to 100.
func (a *Admin) ListSetAside(_ context.Context, limit int) ([]admin.SetAsideRow, error) {
	a.db.mu.Lock()
	defer a.db.mu.Unlock()
	if limit <= 0 {
		limit = 100
	}
	var rows []admin.SetAsideRow
	for _, r := range a.db.outbox.aside[:min(limit, len(a.db.outbox.aside))] {
		rows = append(rows, admin.SetAsideRow{Position: r.position, Message: clone(&r.message), Reason: r.reason, AsideAt: r.at, RetryAsked: r.retry})
	}
	return rows, nil
}

// RetrySetAside marks the rows of a key; the relay takes them up when it renews its lease.
func (a *Admin) RetrySetAside(_ context.Context, channel, key string, act admin.Action) error {
	if err := act.Validate(); err != nil {
		return fmt.Errorf("retry set-aside rows: %w", err)
	}
	a.db.mu.Lock()
	defer a.db.mu.Unlock()
	if !a.db.outbox.askRetry(relay.HeldKey{Channel: channel, Key: key}) {
		return fmt.Errorf("retry set-aside rows of channel %q, key %q: %w", channel, key, admin.ErrNotFound)
	}
	a.db.audit = append(a.db.audit, Audit{At: a.db.now(), Action: act, Did: "retry set-aside rows",
		Target: fmt.Sprintf("outbox channel %q key %q", channel, key)})
	return nil
}

// DiscardSetAside removes one row; what waits behind it is tried again.
func (a *Admin) DiscardSetAside(_ context.Context, position int64, act admin.Action) error {
	if err := act.Validate(); err != nil {
		return fmt.Errorf("discard set-aside row: %w", err)
	}
	a.db.mu.Lock()
	defer a.db.mu.Unlock()
	t := &a.db.outbox
	for i, r := range t.aside {
		if r.position != position {
			continue
		}
		t.aside = append(t.aside[:i:i], t.aside[i+1:]...)
		if r.key.Key != "" {
			t.askRetry(r.key)
		}
		a.db.audit = append(a.db.audit, Audit{At: a.db.now(), Action: act, Did: "discard set-aside row",
			Target: fmt.Sprintf("outbox position %d", position), Was: &r.message})
		return nil
	}
	return fmt.Errorf("discard set-aside row %d: %w", position, admin.ErrNotFound)
}

func (t *outboxTable) askRetry(key relay.HeldKey) (found bool) {
	for i := range t.aside {
		if t.aside[i].key == key {
			t.aside[i].retry = true
			found = true
		}
	}
	return found
}
