package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings.example"
	"tidings.example/command"
	"tidings.example/internal/sqlstore"
)

// Commands keeps what participants remember of commands, in transactions of type Tx.
type Commands[Tx any] struct {
	db   *DB
	on   func(Tx) runner
	inTx func(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
}

var (
	_ command.Store[pgx.Tx]  = (*Commands[pgx.Tx])(nil)
	_ command.Store[*sql.Tx] = (*Commands[*sql.Tx])(nil)
)

const (
	// A target that nobody has locked has no row that could be locked. An advisory
	// lock needs none, writes nothing, and is the first thing that any transaction
	// does with the target: so two that take several targets in the same order never
	// wait for each other. What it guards is read by a later statement, which sees
	// what the one before has committed.
	lockTargetSQL = `SELECT pg_advisory_xact_lock(hashtextextended($1, 'tidings_command_lock'::regclass::oid::bigint))`

	takeLockSQL = `WITH i AS (INSERT INTO tidings_command_lock (participant, target, saga_type, saga_id, since) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT DO NOTHING RETURNING saga_type, saga_id, since)
	SELECT saga_type, saga_id, since FROM i
	UNION ALL SELECT saga_type, saga_id, since FROM tidings_command_lock WHERE participant = $1 AND target = $2`

	readLockSQL = `SELECT saga_type, saga_id, since FROM tidings_command_lock WHERE participant = $1 AND target = $2`

	unlockTargetSQL = `DELETE FROM tidings_command_lock WHERE participant = $1 AND target = $2 AND saga_type = $3 AND saga_id = $4`

	locksOfSQL = `SELECT target FROM tidings_command_lock WHERE participant = $1 AND saga_type = $2 AND saga_id = $3 ORDER BY target`
)

// InTx runs fn in a READ COMMITTED transaction.
func (c *Commands[Tx]) InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	return c.inTx(ctx, fn)
}

// Transient is that of [Inbox.Transient].
func (c *Commands[Tx]) Transient(err error) bool { return transient(err) }

func lockTarget(t command.Target) statement {
	// No participant's name has a slash.
	return statement{sql: lockTargetSQL, args: []any{t.Participant + "/" + t.Name}}
}

// Lock locks the target until the transaction ends, and reads or takes the
// saga's lock on it, in one round trip (two with database/sql).
func (c *Commands[Tx]) Lock(ctx context.Context, tx Tx, target command.Target, owner command.Saga, at time.Time) (l command.Lock, err error) {
	get := statement{sql: readLockSQL, args: []any{target.Participant, target.Name}}
	if owner != (command.Saga{}) {
		get = statement{sql: takeLockSQL, args: []any{target.Participant, target.Name, owner.Type, owner.ID, at}}
	}
	get.row = func(scan func(...any) error) error {
		l.Target = target
		return scan(&l.Owner.Type, &l.Owner.ID, &l.Since)
	}
	if err := c.on(tx).run(ctx, lockTarget(target), get); err != nil {
		return command.Lock{}, fmt.Errorf("lock %q of %s: %w", target.Name, target.Participant, c.db.advise(ctx, err))
	}
	if !l.Since.IsZero() {
		l.Since = l.Since.UTC()
	}
	return l, nil
}

// Unlock removes the lock of a target, if owner holds it.
func (c *Commands[Tx]) Unlock(ctx context.Context, tx Tx, target command.Target, owner command.Saga) (bool, error) {
	var n int64
	err := c.on(tx).run(ctx, lockTarget(target),
		statement{sql: unlockTargetSQL, args: []any{target.Participant, target.Name, owner.Type, owner.ID}, affected: &n})
	if err != nil {
		return false, fmt.Errorf("unlock %q of %s: %w", target.Name, target.Participant, c.db.advise(ctx, err))
	}
	return n > 0, nil
}

// LocksOf returns the targets of a participant that a saga has locked, sorted by
// the bytes of their names.
func (c *Commands[Tx]) LocksOf(ctx context.Context, tx Tx, participant string, owner command.Saga) ([]command.Target, error) {
	targets, err := readTargets(ctx, c.on(tx), participant, locksOfSQL, participant, owner.Type, owner.ID)
	if err != nil {
		return nil, fmt.Errorf("read the locks of saga %s %q: %w", owner.Type, owner.ID, c.db.advise(ctx, err))
	}
	return targets, nil
}

func readTargets(ctx context.Context, on runner, participant, query string, args ...any) (targets []command.Target, err error) {
	err = on.run(ctx, statement{sql: query, args: args, row: func(scan func(...any) error) error {
		t := command.Target{Participant: participant}
		err := scan(&t.Name)
		targets = append(targets, t)
		return err
	}})
	return targets, err
}

var setAsideCommandSQL = insertMessage("tidings_command_aside", "participant, target, at")

const (
	firstAsideSQL = `SELECT id, at, ` + messageColumns + ` FROM tidings_command_aside
	WHERE participant = $1 AND target = $2 ORDER BY id LIMIT 1`

	firstAsideOfSQL = `SELECT id, at, ` + messageColumns + ` FROM tidings_command_aside
	WHERE participant = $1 AND target = $2 AND strpos(headers, $3) > 0 ORDER BY id`

	removeAsideSQL = `DELETE FROM tidings_command_aside WHERE id = $1`

	brokenSQL = `SELECT DISTINCT a.target FROM tidings_command_aside a WHERE a.participant = $1 AND NOT EXISTS
		(SELECT 1 FROM tidings_command_lock l WHERE l.participant = a.participant AND l.target = a.target)
	ORDER BY a.target LIMIT $2`
)

// SetAside stores a command that waits for a target, which the transaction has
// locked: so the ids of those that wait for it are in order.
func (c *Commands[Tx]) SetAside(ctx context.Context, tx Tx, target command.Target, m *tidings.Message, at time.Time) error {
	args, err := messageArgs(m, target.Participant, target.Name, at)
	if err == nil {
		err = c.on(tx).run(ctx, statement{sql: setAsideCommandSQL, args: args})
	}
	if err != nil {
		return fmt.Errorf("set a command for %q of %s aside: %w", target.Name, target.Participant, c.db.advise(ctx, err))
	}
	return nil
}

// FirstAside returns the command that has waited longest for a target.
func (c *Commands[Tx]) FirstAside(ctx context.Context, tx Tx, target command.Target) (first *command.Aside, err error) {
	err = c.on(tx).run(ctx, statement{sql: firstAsideSQL, args: []any{target.Participant, target.Name}, row: func(scan func(...any) error) (err error) {
		first = &command.Aside{Target: target}
		first.Message, err = scanMessage(scan, &first.ID, &first.At)
		first.At = first.At.UTC()
		return err
	}})
	if err != nil {
		return nil, fmt.Errorf("read what waits for %q of %s: %w", target.Name, target.Participant, c.db.advise(ctx, err))
	}
	return first, nil
}

// FirstAsideOf returns the command of a saga that has waited longest for a target.
func (c *Commands[Tx]) FirstAsideOf(ctx context.Context, tx Tx, target command.Target, owner command.Saga) (first *command.Aside, err error) {
	args := []any{target.Participant, target.Name, sqlstore.HeaderPart(owner.ID)}
	err = c.on(tx).run(ctx, statement{sql: firstAsideOfSQL, args: args, row: func(scan func(...any) error) (err error) {
		a := command.Aside{Target: target}
		a.Message, err = scanMessage(scan, &a.ID, &a.At)
		a.At = a.At.UTC()
		if h := a.Message.Headers; first == nil && h[command.HeaderSagaType] == owner.Type && h[command.HeaderSagaID] == owner.ID {
			first = &a
		}
		return err
	}})
	if err != nil {
		return nil, fmt.Errorf("read what waits for %q of %s: %w", target.Name, target.Participant, c.db.advise(ctx, err))
	}
	return first, nil
}

// RemoveAside removes a command that waits no more.
func (c *Commands[Tx]) RemoveAside(ctx context.Context, tx Tx, id int64) error {
	if err := c.on(tx).run(ctx, statement{sql: removeAsideSQL, args: []any{id}}); err != nil {
		return fmt.Errorf("remove command %d that was set aside: %w", id, c.db.advise(ctx, err))
	}
	return nil
}

// Broken returns targets without a lock for which commands wait.
func (c *Commands[Tx]) Broken(ctx context.Context, participant string, limit int) ([]command.Target, error) {
	targets, err := readTargets(ctx, c.db.onPool(), participant, brokenSQL, participant, limit)
	if err != nil {
		return nil, fmt.Errorf("look for broken locks of %s: %w", participant, c.db.advise(ctx, err))
	}
	return targets, nil
}
