package mysql

import (
	"context"
	"database/sql"
	"time"

	"tidings.example"
	"tidings.example/internal/sqlstore"
	"tidings.example/outbox"
)

// outboxStore is the outbox side of a DB.
type outboxStore DB

var _ outbox.Store[*sql.Tx] = (*outboxStore)(nil)

const (
	insertColumnsSQL = ` (id, channel, message_key, type, subject, content_type, headers, payload, created_at)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`

	insertSQL    = `INSERT INTO tidings_outbox` + insertColumnsSQL
	insertLogSQL = `INSERT INTO tidings_outbox_log` + insertColumnsSQL

	insertMoreSQL = `, (?, ?, ?, ?, ?, ?, ?, ?, ?)`

	// One statement takes so many rows, and ends once it has so many bytes of
	// payload: servers take 16 MiB in a packet by default, and payloads may
	// double when they are quoted.
	insertRows  = 500
	insertBytes = 1 << 20
)

// Insert adds the messages in as few round trips as possible. Positions within
// a statement grow in the order of its rows.
func (s *outboxStore) Insert(ctx context.Context, tx *sql.Tx, ms []tidings.Message) error {
	for len(ms) > 0 {
		n := 0
		args := make([]any, 0, 9*min(len(ms), insertRows))
		for bytes := 0; n < len(ms) && n < insertRows && bytes < insertBytes; n++ {
			m := &ms[n]
			headers, err := sqlstore.EncodeHeaders(m.Headers)
			if err != nil {
				return err
			}
			args = append(args, m.ID, m.Channel, sqlstore.OrNull(m.Key), m.Type, sqlstore.OrNull(m.Subject),
				m.ContentType, headers, notNil(m.Payload), datetime(m.Time))
			bytes += len(m.Payload)
		}
		if err := s.appending.insert(ctx, tx, n, args); err != nil {
			return err
		}
		ms = ms[n:]
	}
	if !s.owned {
		s.hub.Notify()
	}
	return nil
}

// notNil returns b, or an empty slice, which is not NULL, for nil.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// datetime is a time as text, whatever time zone the connection is set to. The
// zero time is NULL.
func datetime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02 15:04:05.000000")
}
