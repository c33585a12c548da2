package memory

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tidings.example/admin"
	"tidings.example/command"
)

var (
	_ admin.Locks   = (*Admin)(nil)
	_ admin.Pending = (*Admin)(nil)
)

// ListLocks returns locks, oldest first.
func (a *Admin) ListLocks(_ context.Context, f admin.LockFilter) ([]admin.Lock, error) {
	db := a.db
	db.mu.Lock()
	defer db.mu.Unlock()
	if f.Limit <= 0 {
		f.Limit = 100
	}
	waiting := map[command.Target]int{}
	for _, row := range db.asides {
		waiting[row.Target]++
	}
	latest := db.now().Add(-f.Older)
	var all []admin.Lock
	for target, row := range db.targets {
		if f.Participant != "" && f.Participant != target.Participant || f.Target != "" && f.Target != target.Name ||
			f.SagaType != "" && f.SagaType != row.owner.Type || f.SagaID != "" && f.SagaID != row.owner.ID ||
			f.Older > 0 && row.since.After(latest) {
			continue
		}
		all = append(all, admin.Lock{Participant: target.Participant, Target: target.Name, SagaType: row.owner.Type, SagaID: row.owner.ID,
			Since: row.since, Waiting: waiting[target]})
	}
	slices.SortFunc(all, func(a, b admin.Lock) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Participant, b.Participant), cmp.Compare(a.Target, b.Target))
	})
	return all[:min(f.Limit, len(all))], nil
}

// brokenLock is a lock as an audit record keeps it.
type brokenLock struct {
	SagaType string    `json:"sagaType"`
	SagaID   string    `json:"sagaId"`
	Since    time.Time `json:"since"`
}

// BreakLock removes a lock. It waits for a transaction that uses the target.
func (a *Admin) BreakLock(ctx context.Context, participant, target string, act admin.Action) error {
	fail := func(err error) error { return fmt.Errorf("break lock of %s on %q: %w", participant, target, err) }
	if err := act.Validate(); err != nil {
		return fail(err)
	}
	key := command.Target{Participant: participant, Name: target}
	err := a.db.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := tx.acquire(ctx, key); err != nil {
			return err
		}
		var failed error
		err := tx.view(func(db *DB) {
			row, there := db.targets[key]
			if !there {
				failed = admin.ErrNotFound
				return
			}
			tx.targets[key] = nil
			var detail []byte
			if detail, failed = json.Marshal(brokenLock{row.owner.Type, row.owner.ID, row.since}); failed != nil {
				return
			}
			tx.audit = append(tx.audit, Audit{At: db.now(), Action: act, Did: "break lock",
				Target: fmt.Sprintf("lock of %s on %q", participant, target), Detail: string(detail)})
		})
		return cmp.Or(err, failed)
	})
	if err != nil {
		return fail(err)
	}
	return nil
}

// CountPending counts locks, commands that wait for one, and times.
func (a *Admin) CountPending(context.Context) (c admin.PendingCount, _ error) {
	db := a.db
	db.mu.Lock()
	defer db.mu.Unlock()
	now := db.now()
	c.Locks, c.SetAside = int64(len(db.targets)), int64(len(db.asides))
	for _, row := range db.targets {
		c.OldestLock = max(c.OldestLock, now.Sub(row.since))
	}
	count := func(at time.Time) {
		c.Timers++
		if late := now.Sub(at); late >= 0 {
			c.Overdue++
			c.Late = max(c.Late, late)
		}
	}
	for _, row := range db.timers {
		count(row.due)
	}
	for _, row := range db.sagas {
		if !row.Wake.IsZero() {
			count(row.Wake)
		}
	}
	return c, nil
}
