package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tidings.example"
	"tidings.example/command"
)

// Commands is a [command.Store] for any database behind database/sql.
type Commands struct {
	Engine
	text *commandText
}

var _ command.Store[*sql.Tx] = (*Commands)(nil)

// NewCommands returns what the participants of a database remember.
func NewCommands(e Engine) *Commands { return &Commands{e, e.commandText()} }

// commandText are the statements about commands.
type commandText struct {
	take, aside, remember                                     insertion
	lock, unlock, locksOf, freeLocks, forgetLock              string
	first, firstOf, removeAside, broken, answered, oldAnswers string
}

func (d *Dialect) commandText() *commandText {
	return &commandText{
		take:    d.insertion(`tidings_command_lock`, `participant, target, saga_type, saga_id, since`, `(?, ?, ?, ?, @at)`, d.OrTake),
		lock:    d.kept(`SELECT saga_type, saga_id, micros(since) FROM tidings_command_lock WHERE participant = ? AND target = ? @lock`),
		unlock:  d.kept(d.FreeLock + ` WHERE participant = ? AND target = ? AND saga_type = ? AND saga_id = ?`),
		locksOf: d.kept(`SELECT target FROM tidings_command_lock WHERE participant = ? AND saga_type = ? AND saga_id = ? ORDER BY target`),

		aside: d.insertion(`tidings_command_aside`, `participant, target, at, `+messageColumns, `(?, ?, @at, `+messageRow+`)`, ""),
		first: d.kept(`SELECT id, micros(at), ` + messageRead + ` FROM tidings_command_aside WHERE participant = ? AND target = ?
	ORDER BY id LIMIT 1`),
		firstOf: d.kept(`SELECT id, micros(at), ` + messageRead + ` FROM tidings_command_aside WHERE participant = ? AND target = ?
	AND INSTR(headers, ?) > 0 ORDER BY id`),
		removeAside: d.kept(`DELETE FROM tidings_command_aside WHERE id = ?`),
		freeLocks: d.text(`SELECT target FROM tidings_command_lock @index(tidings_command_lock_owner)
	WHERE participant = ? AND saga_type = '' AND saga_id = '' AND since < @at LIMIT ?`),
		forgetLock: d.kept(`DELETE FROM tidings_command_lock WHERE participant = ? AND target = ? AND saga_type = ''`),
		// The first of each target by the index alone, and for each a look at its lock.
		broken: d.kept(`SELECT a.target FROM (SELECT target, MIN(id) AS first FROM tidings_command_aside
		WHERE participant = ? GROUP BY target) a
	LEFT JOIN tidings_command_lock l ON l.participant = ? AND l.target = a.target AND l.saga_type <> ''
	WHERE l.target IS NULL ORDER BY a.first LIMIT ?`),

		answered: d.kept(`SELECT ` + messageRead + ` FROM tidings_command_answer WHERE participant = ? AND command_id = ?`),
		remember: d.insertion(`tidings_command_answer`, `participant, command_id, at, `+messageColumns, `(?, ?, @at, `+messageRow+`)`, ""),
		oldAnswers: d.text(`SELECT command_id FROM tidings_command_answer @index(tidings_command_answer_age)
	WHERE participant = ? AND at < @at ORDER BY at LIMIT ?`),
	}
}

// Lock returns the lock on a target, and takes it for owner if it is free.
func (c *Commands) Lock(ctx context.Context, tx *sql.Tx, target command.Target, owner command.Saga, at time.Time) (command.Lock, error) {
	l, err := c.lock(ctx, tx, target, owner, at)
	if err != nil {
		return command.Lock{}, fmt.Errorf("lock %q of %s: %w", target.Name, target.Participant, err)
	}
	return l, nil
}

func (c *Commands) lock(ctx context.Context, tx *sql.Tx, target command.Target, owner command.Saga, at time.Time) (l command.Lock, err error) {
	none := owner == command.Saga{}
	if err := c.begin(ctx, tx); err != nil {
		return l, err
	}
	// Whoever inserts a row that is there waits for the transaction that has changed it.
	if !none || c.FreeRows {
		_, err = tx.ExecContext(ctx, c.text.take.of(1), target.Participant, target.Name, owner.Type, owner.ID, c.Time(at))
		if err != nil {
			return l, err
		}
	}
	var since sql.NullInt64
	err = tx.QueryRowContext(ctx, c.text.lock, target.Participant, target.Name).Scan(&l.Owner.Type, &l.Owner.ID, &since)
	switch {
	case none && errors.Is(err, sql.ErrNoRows):
		return command.Lock{}, nil
	case err != nil || l.Owner == command.Saga{}:
		return command.Lock{}, err
	}
	l.Target, l.Since = target, timeOf(since)
	return l, nil
}

// Unlock removes the lock that owner has on a target.
func (c *Commands) Unlock(ctx context.Context, tx *sql.Tx, target command.Target, owner command.Saga) (bool, error) {
	if owner == (command.Saga{}) {
		return false, nil
	}
	n, err := affected(ctx, tx, c.text.unlock, target.Participant, target.Name, owner.Type, owner.ID)
	if err != nil {
		return false, fmt.Errorf("unlock %q of %s: %w", target.Name, target.Participant, err)
	}
	return n > 0, nil
}

// LocksOf returns what a saga has locked, sorted.
func (c *Commands) LocksOf(ctx context.Context, tx *sql.Tx, participant string, owner command.Saga) ([]command.Target, error) {
	if owner == (command.Saga{}) {
		return nil, nil
	}
	err := c.begin(ctx, tx)
	var all []command.Target
	if err == nil {
		all, err = Collect(ctx, tx, c.text.locksOf, []any{participant, owner.Type, owner.ID}, func(rows *sql.Rows) (command.Target, error) {
			t := command.Target{Participant: participant}
			return t, rows.Scan(&t.Name)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read the locks of saga %s %q: %w", owner.Type, owner.ID, err)
	}
	return all, nil
}

// SetAside stores a command that waits for a target.
func (c *Commands) SetAside(ctx context.Context, tx *sql.Tx, target command.Target, m *tidings.Message, at time.Time) error {
	args, err := c.messageArgs([]any{target.Participant, target.Name, c.Time(at)}, m)
	if err == nil {
		_, err = tx.ExecContext(ctx, c.text.aside.of(1), args...)
	}
	if err != nil {
		return fmt.Errorf("set command %q aside: %w", m.ID, err)
	}
	return nil
}

// FirstAside returns the command that has waited longest, or nil.
func (c *Commands) FirstAside(ctx context.Context, tx *sql.Tx, target command.Target) (*command.Aside, error) {
	found, err := c.asides(ctx, tx, target, c.text.first, target.Participant, target.Name)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// FirstAsideOf returns the command of a saga that has waited longest, or nil.
func (c *Commands) FirstAsideOf(ctx context.Context, tx *sql.Tx, target command.Target, owner command.Saga) (*command.Aside, error) {
	found, err := c.asides(ctx, tx, target, c.text.firstOf, target.Participant, target.Name, HeaderPart(owner.ID))
	if err != nil {
		return nil, err
	}
	for i := range found {
		if h := found[i].Message.Headers; h[command.HeaderSagaType] == owner.Type && h[command.HeaderSagaID] == owner.ID {
			return &found[i], nil
		}
	}
	return nil, nil
}

// HeaderPart returns a text that the stored headers of a message contain if one of
// them has this value: the value itself, or "" for one that may be written in another way.
func HeaderPart(value string) string {
	for i := range len(value) {
		if c := value[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' && c != '.' {
			return ""
		}
	}
	return value
}

// asides are the commands that a query finds.
func (c *Commands) asides(ctx context.Context, tx *sql.Tx, target command.Target, query string, args ...any) (found []command.Aside, err error) {
	err = c.begin(ctx, tx)
	if err == nil {
		found, err = Collect(ctx, tx, query, args, func(rows *sql.Rows) (command.Aside, error) {
			a := command.Aside{Target: target}
			var at sql.NullInt64
			err := scanMessage(rows, &a.Message, &a.ID, &at)
			if err != nil {
				err = fmt.Errorf("row %d of tidings_command_aside: %w", a.ID, err)
			}
			a.At = timeOf(at)
			return a, err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read the first command that waits for %q of %s: %w", target.Name, target.Participant, err)
	}
	return found, nil
}

// RemoveAside removes a command that waits no more.
func (c *Commands) RemoveAside(ctx context.Context, tx *sql.Tx, id int64) error {
	if _, err := tx.ExecContext(ctx, c.text.removeAside, id); err != nil {
		return fmt.Errorf("remove command %d that was set aside: %w", id, err)
	}
	return nil
}

// Broken returns targets that nobody has locked and that commands wait for.
func (c *Commands) Broken(ctx context.Context, participant string, limit int) ([]command.Target, error) {
	targets, err := Collect(ctx, c.Pool, c.text.broken, []any{participant, participant, limit}, func(rows *sql.Rows) (command.Target, error) {
		t := command.Target{Participant: participant}
		return t, rows.Scan(&t.Name)
	})
	if err != nil {
		return nil, fmt.Errorf("read the broken locks of %s: %w", participant, err)
	}
	return targets, nil
}
