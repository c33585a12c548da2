package memory

import (
	"context"
	"time"

	"tidings.example"
	"tidings.example/command"
)

// Replies keeps replies for those who wait for them.
type Replies struct{ db *DB }

var _ command.ReplyStore[*Tx] = (*Replies)(nil)

// replyKey is a command's id.
type replyKey struct{ commandID string }

// InTx runs fn in a transaction.
func (r *Replies) InTx(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return r.db.InTx(ctx, fn)
}

// SaveReply stores the first reply to a command.
func (r *Replies) SaveReply(ctx context.Context, tx *Tx, commandID string, reply *tidings.Message, at time.Time) error {
	key := replyKey{commandID}
	if err := tx.acquire(ctx, key); err != nil {
		return err
	}
	return tx.view(func(db *DB) {
		if _, there := tx.replies.get(db.replies, key); !there {
			tx.replies[key] = &answerRow{clone(reply), micro(at)}
		}
	})
}

// Reply returns the committed reply to a command.
func (r *Replies) Reply(_ context.Context, commandID string) (*tidings.Message, error) {
	r.db.mu.Lock()
	defer r.db.mu.Unlock()
	row, there := r.db.replies[replyKey{commandID}]
	if !there {
		return nil, nil
	}
	m := clone(&row.message)
	return &m, nil
}

// ForgetReplies removes old replies, the oldest first.
func (r *Replies) ForgetReplies(_ context.Context, before time.Time, limit int) (int, error) {
	r.db.mu.Lock()
	defer r.db.mu.Unlock()
	return forget(r.db.replies, limit, func(_ replyKey, row answerRow) bool { return row.at.Before(before) }), nil
}
