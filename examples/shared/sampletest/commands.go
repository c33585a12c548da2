package sampletest

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"tidings.example"
	"tidings.example/command"
	"tidings.example/examples/shared/sqldb"
	"tidings.example/outbox"
)

// A Recorder keeps what a service sends instead of storing it.
type Recorder struct{ Sent []tidings.Message }

// Insert implements outbox.Store.
func (r *Recorder) Insert(_ context.Context, _ *sql.Tx, ms []tidings.Message) error {
	r.Sent = append(r.Sent, ms...)
	return nil
}

// Record makes what is sent through db end up in the recorder that it returns.
func Record(db *sqldb.DB) *Recorder {
	r := &Recorder{}
	changed := *db.Database
	changed.Outbox = outbox.New[*sql.Tx](r, 0)
	db.Database = &changed
	return r
}

// Ask hands a command to a receiver, in a transaction of its own, and returns the
// one message that it sends: the reply. r records what the receiver sends.
func Ask(db sqldb.DB, r *Recorder, receiver *command.Receiver[*sql.Tx], p command.Participant, c command.Command) (command.Replied, error) {
	m, err := command.Message(p, c, command.ReplyTo("replies", "key"))
	if err != nil {
		return command.Replied{}, err
	}
	m.Time = time.Now()
	r.Sent = nil
	err = db.Inbox.InTx(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
		return receiver.Handle(tidings.WithCause(ctx, &m), tx, &m)
	})
	if err != nil {
		return command.Replied{}, err
	}
	if len(r.Sent) != 1 || r.Sent[0].Channel != "replies" || r.Sent[0].Key != "key" {
		return command.Replied{}, fmt.Errorf("sent %d messages instead of one reply", len(r.Sent))
	}
	return command.ParseReply(&r.Sent[0])
}
