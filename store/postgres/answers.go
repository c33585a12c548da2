package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings.example"
	"tidings.example/command"
)

var (
	rememberSQL  = insertMessage("tidings_command_answer", "participant, command_id, at") + ` ON CONFLICT DO NOTHING`
	saveReplySQL = insertMessage("tidings_reply", "command_id, at") + ` ON CONFLICT DO NOTHING`
)

const (
	// Locked before it is looked for, so that one command is not handled twice at
	// the same time, should it have come on two ways.
	lockCommandSQL = `SELECT pg_advisory_xact_lock(hashtextextended($1, 'tidings_command_answer'::regclass::oid::bigint))`

	answeredSQL = `SELECT ` + messageColumns + ` FROM tidings_command_answer WHERE participant = $1 AND command_id = $2`

	forgetAnswersSQL = `DELETE FROM tidings_command_answer WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM tidings_command_answer WHERE participant = $1 AND at < $2 ORDER BY at LIMIT $3 FOR UPDATE SKIP LOCKED))`

	replySQL = `SELECT ` + messageColumns + ` FROM tidings_reply WHERE command_id = $1`

	forgetRepliesSQL = `DELETE FROM tidings_reply WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM tidings_reply WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))`
)

// Answered returns the remembered answer to a command, and excludes other
// transactions that handle the same until this one ends. It is one round trip (two
// with database/sql).
func (c *Commands[Tx]) Answered(ctx context.Context, tx Tx, participant, commandID string) (answer *tidings.Message, err error) {
	err = c.on(tx).run(ctx, statement{sql: lockCommandSQL, args: []any{participant + "/" + commandID}},
		statement{sql: answeredSQL, args: []any{participant, commandID}, row: oneMessage(&answer)})
	if err != nil {
		return nil, fmt.Errorf("look for the answer to command %q: %w", commandID, c.db.advise(ctx, err))
	}
	return answer, nil
}

// Remember stores the answer to a command; the first one stays.
func (c *Commands[Tx]) Remember(ctx context.Context, tx Tx, participant, commandID string, answer *tidings.Message, at time.Time) error {
	args, err := messageArgs(answer, participant, commandID, at)
	if err == nil {
		err = c.on(tx).run(ctx, statement{sql: rememberSQL, args: args})
	}
	if err != nil {
		return fmt.Errorf("remember the answer to command %q: %w", commandID, c.db.advise(ctx, err))
	}
	return nil
}

// Forget removes old answers, the oldest first.
func (c *Commands[Tx]) Forget(ctx context.Context, participant string, before time.Time, limit int) (int, error) {
	var n int64
	err := c.db.onPool().run(ctx, statement{sql: forgetAnswersSQL, args: []any{participant, before, limit}, affected: &n})
	if err != nil {
		return 0, fmt.Errorf("forget old answers of %s: %w", participant, c.db.advise(ctx, err))
	}
	return int(n), nil
}

// Replies keeps replies for those who wait for them, in transactions of type Tx.
type Replies[Tx any] struct {
	db   *DB
	on   func(Tx) runner
	inTx func(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
}

var (
	_ command.ReplyStore[pgx.Tx]  = (*Replies[pgx.Tx])(nil)
	_ command.ReplyStore[*sql.Tx] = (*Replies[*sql.Tx])(nil)
)

// InTx runs fn in a READ COMMITTED transaction.
func (r *Replies[Tx]) InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	return r.inTx(ctx, fn)
}

// SaveReply stores the first reply to a command.
func (r *Replies[Tx]) SaveReply(ctx context.Context, tx Tx, commandID string, reply *tidings.Message, at time.Time) error {
	args, err := messageArgs(reply, commandID, at)
	if err == nil {
		err = r.on(tx).run(ctx, statement{sql: saveReplySQL, args: args})
	}
	if err != nil {
		return fmt.Errorf("save the reply to command %q: %w", commandID, r.db.advise(ctx, err))
	}
	return nil
}

// Reply returns the committed reply to a command.
func (r *Replies[Tx]) Reply(ctx context.Context, commandID string) (reply *tidings.Message, err error) {
	err = r.db.onPool().run(ctx, statement{sql: replySQL, args: []any{commandID}, row: oneMessage(&reply)})
	if err != nil {
		return nil, fmt.Errorf("look for the reply to command %q: %w", commandID, r.db.advise(ctx, err))
	}
	return reply, nil
}

// ForgetReplies removes old replies, the oldest first.
func (r *Replies[Tx]) ForgetReplies(ctx context.Context, before time.Time, limit int) (int, error) {
	var n int64
	err := r.db.onPool().run(ctx, statement{sql: forgetRepliesSQL, args: []any{before, limit}, affected: &n})
	if err != nil {
		return 0, fmt.Errorf("forget old replies: %w", r.db.advise(ctx, err))
	}
	return int(n), nil
}
