package sqlite

import (
	"context"
	"database/sql"

	"tidings.example"
	"tidings.example/internal/sqlstore"
	"tidings.example/outbox"
)

// outboxStore is the outbox side of a DB.
type outboxStore DB

var _ outbox.Store[*sql.Tx] = (*outboxStore)(nil)

const insertSQL = mark + `INSERT INTO tidings_outbox
	(id, channel, message_key, type, subject, content_type, headers, payload, created_at)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`

// Insert adds the messages one by one: the statement is parsed once for each
// connection, and SQLite runs in this process, so there is no round trip to save.
func (s *outboxStore) Insert(ctx context.Context, tx *sql.Tx, ms []tidings.Message) error {
	for i := range ms {
		m := &ms[i]
		headers, err := sqlstore.EncodeHeaders(m.Headers)
		if err != nil {
			return err
		}
		payload := m.Payload
		if payload == nil {
			payload = []byte{}
		}
		_, err = tx.ExecContext(ctx, insertSQL, m.ID, m.Channel, sqlstore.OrNull(m.Key), m.Type,
			sqlstore.OrNull(m.Subject), m.ContentType, headers, payload, m.Time.UnixMicro())
		if err != nil {
			return err
		}
	}
	if !s.queued {
		s.shared.hub.Notify()
	}
	return nil
}
