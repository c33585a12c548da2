package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"tidings.example"
	"tidings.example/command"
)

// Answered returns the remembered answer to a command, or nil.
func (c *Commands) Answered(ctx context.Context, tx *sql.Tx, participant, commandID string) (*tidings.Message, error) {
	err := c.begin(ctx, tx)
	var m *tidings.Message
	if err == nil {
		m, err = oneMessage(ctx, tx, c.text.answered, participant, commandID)
	}
	if err != nil {
		return nil, fmt.Errorf("read the answer to command %q: %w", commandID, err)
	}
	return m, nil
}

func oneMessage(ctx context.Context, q Queryer, query string, args ...any) (*tidings.Message, error) {
	found, err := Collect(ctx, q, query, args, func(rows *sql.Rows) (m tidings.Message, err error) {
		return m, scanMessage(rows, &m)
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// Remember stores the answer to a command. An answer that is there already is an
// error: two transactions have handled the command.
func (c *Commands) Remember(ctx context.Context, tx *sql.Tx, participant, commandID string, answer *tidings.Message, at time.Time) error {
	args, err := c.messageArgs([]any{participant, commandID, c.Time(at)}, answer)
	if err == nil {
		_, err = tx.ExecContext(ctx, c.text.remember.of(1), args...)
	}
	if err != nil {
		return fmt.Errorf("remember the answer to command %q: %w", commandID, err)
	}
	return nil
}

// Forget removes old answers, and the rows of locks that have been free for a while.
func (c *Commands) Forget(ctx context.Context, participant string, before time.Time, limit int) (int, error) {
	if c.FreeRows {
		if err := c.forgetLocks(ctx, participant, limit); err != nil {
			return 0, fmt.Errorf("forget free locks of %s: %w", participant, err)
		}
	}
	n, err := c.forget(ctx, c.text.oldAnswers, `DELETE FROM tidings_command_answer WHERE participant = ? AND command_id IN (`, before, limit, participant)
	if err != nil {
		return n, fmt.Errorf("forget old answers of %s: %w", participant, err)
	}
	return n, nil
}

// freeFor is how long the row of a free lock stays: mostly, who has just used a target
// uses it again.
const freeFor = time.Minute

// forgetLocks removes the rows of free locks, one by one, since transactions lock several in any order.
func (c *Commands) forgetLocks(ctx context.Context, participant string, limit int) error {
	for {
		names, err := Collect(ctx, c.Pool, c.text.freeLocks, []any{participant, c.Time(c.Now().Add(-freeFor)), limit},
			func(rows *sql.Rows) (name string, err error) { return name, rows.Scan(&name) })
		removed := 0
		for _, name := range names {
			if err == nil {
				var n int
				n, err = affected(ctx, c.Pool, c.text.forgetLock, participant, name)
				removed += n
			}
		}
		if err != nil || removed == 0 || len(names) < limit {
			return err
		}
	}
}

// forget removes rows one primary key after the other, so that it locks nothing
// but old ones. before is the last parameter but one of find; the others come before it, and
// before the ids of remove.
func (e *Engine) forget(ctx context.Context, find, remove string, before time.Time, limit int, args ...any) (int, error) {
	ids, err := Collect(ctx, e.Pool, find, append(slices.Clone(args), e.Time(before), limit), func(rows *sql.Rows) (id []byte, err error) {
		return id, rows.Scan(&id)
	})
	if err != nil {
		return 0, err
	}
	removed := 0
	for some := range slices.Chunk(ids, messageRows) {
		values := slices.Clone(args)
		for _, id := range some {
			values = append(values, string(id))
		}
		n, err := affected(ctx, e.Pool, remove+Placeholders(len(some))+`)`, values...)
		removed += n
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// Replies is a [command.ReplyStore] for any database behind database/sql.
type Replies struct {
	Engine
	save      insertion
	read, old string
}

var _ command.ReplyStore[*sql.Tx] = (*Replies)(nil)

// NewReplies returns the replies that a database keeps.
func NewReplies(e Engine) *Replies {
	return &Replies{Engine: e,
		save: e.insertion(`tidings_reply`, `command_id, at, `+messageColumns, `(?, @at, `+messageRow+`)`, e.ignore("command_id")),
		read: e.kept(`SELECT ` + messageRead + ` FROM tidings_reply WHERE command_id = ?`),
		old:  e.Dialect.text(`SELECT command_id FROM tidings_reply @index(tidings_reply_age) WHERE at < @at ORDER BY at LIMIT ?`),
	}
}

// SaveReply stores the first reply to a command.
func (r *Replies) SaveReply(ctx context.Context, tx *sql.Tx, commandID string, reply *tidings.Message, at time.Time) error {
	args, err := r.messageArgs([]any{commandID, r.Time(at)}, reply)
	if err == nil {
		_, err = tx.ExecContext(ctx, r.save.of(1), args...)
	}
	if err != nil {
		return fmt.Errorf("save the reply to command %q: %w", commandID, err)
	}
	return nil
}

// Reply returns the committed reply to a command, or nil.
func (r *Replies) Reply(ctx context.Context, commandID string) (*tidings.Message, error) {
	m, err := oneMessage(ctx, r.Pool, r.read, commandID)
	if err != nil {
		return nil, fmt.Errorf("read the reply to command %q: %w", commandID, err)
	}
	return m, nil
}

// ForgetReplies removes old replies.
func (r *Replies) ForgetReplies(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := r.forget(ctx, r.old, `DELETE FROM tidings_reply WHERE command_id IN (`, before, limit)
	if err != nil {
		return n, fmt.Errorf("forget old replies: %w", err)
	}
	return n, nil
}
