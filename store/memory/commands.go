package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"tidings.example"
	"tidings.example/command"
)

// Commands keeps what participants remember of commands.
type Commands struct{ db *DB }

var _ command.Store[*Tx] = (*Commands)(nil)

// lockRow is a lock of a saga, which outlives the transaction that took it.
type lockRow struct {
	owner command.Saga
	since time.Time
}

type answerKey struct{ participant, commandID string }

type answerRow struct {
	message tidings.Message
	at      time.Time
}

// InTx runs fn in a transaction.
func (c *Commands) InTx(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return c.db.InTx(ctx, fn)
}

// Transient reports whether the error is a deadlock.
func (c *Commands) Transient(err error) bool { return transient(err) }

// Lock returns the lock on a target, after creating it for owner, and excludes
// other transactions from the target.
func (c *Commands) Lock(ctx context.Context, tx *Tx, target command.Target, owner command.Saga, at time.Time) (l command.Lock, err error) {
	if err := tx.acquire(ctx, target); err != nil {
		return l, err
	}
	err = tx.view(func(db *DB) {
		row, locked := tx.targets.get(db.targets, target)
		if !locked {
			if owner == (command.Saga{}) {
				return
			}
			row = lockRow{owner, micro(at)}
			tx.targets[target] = &row
		}
		l = command.Lock{Target: target, Owner: row.owner, Since: row.since}
	})
	return l, err
}

// Unlock removes the lock of a target, if owner holds it.
func (c *Commands) Unlock(ctx context.Context, tx *Tx, target command.Target, owner command.Saga) (unlocked bool, err error) {
	if err := tx.acquire(ctx, target); err != nil {
		return false, err
	}
	err = tx.view(func(db *DB) {
		if row, locked := tx.targets.get(db.targets, target); locked && row.owner == owner {
			tx.targets[target] = nil
			unlocked = true
		}
	})
	return unlocked, err
}

// LocksOf returns the targets of a participant that a saga has locked.
func (c *Commands) LocksOf(_ context.Context, tx *Tx, participant string, owner command.Saga) (targets []command.Target, err error) {
	err = tx.view(func(db *DB) {
		for target, row := range tx.targets.all(db.targets) {
			if target.Participant == participant && row.owner == owner {
				targets = append(targets, target)
			}
		}
	})
	slices.SortFunc(targets, compareTargets)
	return targets, err
}

func compareTargets(a, b command.Target) int {
	return cmp.Or(cmp.Compare(a.Participant, b.Participant), cmp.Compare(a.Name, b.Name))
}

// SetAside stores a command that waits for a target.
func (c *Commands) SetAside(_ context.Context, tx *Tx, target command.Target, m *tidings.Message, at time.Time) error {
	return tx.view(func(db *DB) {
		db.lastAside++
		tx.asides[db.lastAside] = &command.Aside{ID: db.lastAside, Target: target, Message: clone(m), At: micro(at)}
	})
}

// FirstAside returns the command that has waited longest for a target.
func (c *Commands) FirstAside(_ context.Context, tx *Tx, target command.Target) (first *command.Aside, err error) {
	err = tx.view(func(db *DB) {
		for id, row := range tx.asides.all(db.asides) {
			if row.Target == target && (first == nil || id < first.ID) {
				first = &row
			}
		}
		if first != nil {
			first.Message = clone(&first.Message)
		}
	})
	return first, err
}

// FirstAsideOf returns the command of a saga that has waited longest for a target.
func (c *Commands) FirstAsideOf(_ context.Context, tx *Tx, target command.Target, owner command.Saga) (first *command.Aside, err error) {
	err = tx.view(func(db *DB) {
		for id, row := range tx.asides.all(db.asides) {
			h := row.Message.Headers
			if row.Target == target && h[command.HeaderSagaType] == owner.Type && h[command.HeaderSagaID] == owner.ID && (first == nil || id < first.ID) {
				first = &row
			}
		}
		if first != nil {
			first.Message = clone(&first.Message)
		}
	})
	return first, err
}

// RemoveAside removes a command that waits no more.
func (c *Commands) RemoveAside(_ context.Context, tx *Tx, id int64) error {
	return tx.view(func(*DB) { tx.asides[id] = nil })
}

// Broken returns targets without a lock for which commands wait, sorted.
func (c *Commands) Broken(_ context.Context, participant string, limit int) ([]command.Target, error) {
	c.db.mu.Lock()
	defer c.db.mu.Unlock()
	var broken []command.Target
	for _, row := range c.db.asides {
		if _, locked := c.db.targets[row.Target]; !locked && row.Target.Participant == participant {
			broken = append(broken, row.Target)
		}
	}
	slices.SortFunc(broken, compareTargets)
	broken = slices.Compact(broken)
	return broken[:min(max(limit, 0), len(broken))], nil
}

// Answered returns the remembered answer to a command, and excludes other
// transactions that handle the same.
func (c *Commands) Answered(ctx context.Context, tx *Tx, participant, commandID string) (answer *tidings.Message, err error) {
	key := answerKey{participant, commandID}
	if err := tx.acquire(ctx, key); err != nil {
		return nil, err
	}
	err = tx.view(func(db *DB) {
		if row, there := tx.answers.get(db.answers, key); there {
			m := clone(&row.message)
			answer = &m
		}
	})
	return answer, err
}

// Remember stores the answer to a command; the first one stays.
func (c *Commands) Remember(ctx context.Context, tx *Tx, participant, commandID string, answer *tidings.Message, at time.Time) error {
	key := answerKey{participant, commandID}
	if err := tx.acquire(ctx, key); err != nil {
		return err
	}
	return tx.view(func(db *DB) {
		if _, there := tx.answers.get(db.answers, key); !there {
			tx.answers[key] = &answerRow{clone(answer), micro(at)}
		}
	})
}

// Forget removes old answers, the oldest first.
func (c *Commands) Forget(_ context.Context, participant string, before time.Time, limit int) (int, error) {
	c.db.mu.Lock()
	defer c.db.mu.Unlock()
	return forget(c.db.answers, limit, func(key answerKey, row answerRow) bool {
		return key.participant == participant && row.at.Before(before)
	}), nil
}

// forget removes up to limit rows that are old, the oldest first.
func forget[K comparable](table map[K]answerRow, limit int, old func(K, answerRow) bool) int {
	var keys []K
	for key, row := range table {
		if old(key, row) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b K) int {
		return cmp.Or(table[a].at.Compare(table[b].at), cmp.Compare(table[a].message.ID, table[b].message.ID))
	})
	keys = keys[:min(max(limit, 0), len(keys))]
	for _, key := range keys {
		delete(table, key)
	}
	return len(keys)
}
