package command

import (
	"context"
	"errors"

	"tidings.example/outbox"
)

// A Sender sends commands through an outbox. It may be used by several goroutines.
type Sender[Tx any] struct{ outbox *outbox.Outbox[Tx] }

// NewSender returns a sender over the outbox of a service's database.
func NewSender[Tx any](o *outbox.Outbox[Tx]) *Sender[Tx] { return &Sender[Tx]{o} }

// Send sends a command to a participant, in tx: it is sent if and only if tx
// commits. It returns the command's id, which a reply carries back. Without
// [ReplyTo] it is a notification: nobody is told what becomes of it. Inside a handler the
// command carries on the handled message's correlation id.
//
// An error matching [tidings.ErrInvalid] names what is wrong with the command, and
// nothing has been written. After any other error tx should be rolled back.
func (s *Sender[Tx]) Send(ctx context.Context, tx Tx, p Participant, c Command, options ...Option) (id string, err error) {
	m, err := Message(p, c, options...)
	if err != nil {
		return "", err
	}
	if s.outbox == nil {
		return "", errors.New("command: the sender's outbox is nil")
	}
	if err := s.outbox.Append(ctx, tx, m); err != nil {
		return "", err
	}
	return m.Headers[HeaderCommandID], nil
}

// Unlock ends the locks that a saga has at a participant, in tx. Package saga
// does it when a saga ends; others that send commands for a saga of their own making do it themselves.
func (s *Sender[Tx]) Unlock(ctx context.Context, tx Tx, p Participant, saga Saga) error {
	if s.outbox == nil {
		return errors.New("command: the sender's outbox is nil")
	}
	return s.outbox.Append(ctx, tx, Unlock(p, saga))
}
