package postgres

import (
	"context"
	"time"

	"tidings.example"
	"tidings.example/internal/sqlstore"
	"tidings.example/outbox"
)

// outboxStore is the outbox side of a DB.
type outboxStore[Tx any] struct {
	on     func(Tx) runner
	append Append
	reads  *sqlstore.Recheck
}

var _ outbox.Store[any] = outboxStore[any]{}

const (
	insertSQL = `INSERT INTO tidings_outbox (id, channel, message_key, type, subject, content_type, headers, payload, created_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

	// The order of the arrays is the order of the positions.
	insertManySQL = `INSERT INTO tidings_outbox (id, channel, message_key, type, subject, content_type, headers, payload, created_at)
	SELECT m.id, m.channel, NULLIF(m.message_key, ''), m.type, NULLIF(m.subject, ''), m.content_type, NULLIF(m.headers, ''), m.payload, m.created_at
	FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::timestamptz[])
		WITH ORDINALITY AS m (id, channel, message_key, type, subject, content_type, headers, payload, created_at, n)
	ORDER BY m.n`
)

// Insert adds the messages in one round trip.
func (s outboxStore[Tx]) Insert(ctx context.Context, tx Tx, ms []tidings.Message) error {
	one, many := insertSQL, insertManySQL
	var after []statement
	if s.append == AppendToLog || s.append == AppendAndDelete {
		if err := stillRead(ctx, s.on(tx), s.reads); err != nil {
			return err
		}
	}
	switch s.append {
	case AppendToLog:
		emitted, err := emit(ms)
		if err != nil {
			return err
		}
		return s.on(tx).run(ctx, emitted)
	case AppendAndDelete:
		one, many = insertLogSQL, insertManyLogSQL
		after = []statement{{sql: deleteLogSQL}}
		if len(ms) > 1 {
			after[0].sql = deleteManyLogSQL
		}
	}
	var args []any
	var err error
	query := one
	if len(ms) > 1 {
		query = many
		args, err = manyArgs(ms)
	} else {
		args, err = oneArgs(&ms[0])
	}
	if err != nil {
		return err
	}
	return s.on(tx).run(ctx, append([]statement{{sql: query, args: args}}, after...)...)
}

func oneArgs(m *tidings.Message) ([]any, error) {
	headers, err := sqlstore.EncodeHeaders(m.Headers)
	return []any{m.ID, m.Channel, sqlstore.OrNull(m.Key), m.Type, sqlstore.OrNull(m.Subject), m.ContentType, headers,
		notNil(m.Payload), m.Time}, err
}

func manyArgs(ms []tidings.Message) ([]any, error) {
	n := len(ms)
	ids, channels, keys, types := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	subjects, contentTypes, headers := make([]string, n), make([]string, n), make([]string, n)
	payloads, times := make([][]byte, n), make([]time.Time, n)
	for i := range ms {
		m := &ms[i]
		encoded, err := sqlstore.EncodeHeaders(m.Headers)
		if err != nil {
			return nil, err
		}
		headers[i], _ = encoded.(string)
		ids[i], channels[i], keys[i], types[i] = m.ID, m.Channel, m.Key, m.Type
		subjects[i], contentTypes[i], payloads[i], times[i] = m.Subject, m.ContentType, notNil(m.Payload), m.Time
	}
	return []any{ids, channels, keys, types, subjects, contentTypes, headers, payloads, times}, nil
}

// notNil keeps an empty payload from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
