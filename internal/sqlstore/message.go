package sqlstore

import (
	"database/sql"

	"tidings.example"
)

// The columns of a message that is kept whole, in the tables of timers,
// commands and replies. They have the names that tidings_inbox_parked gives them.
const (
	messageColumns = `source, channel, message_id, message_key, type, subject, content_type, headers, payload, created_at, epoch, lane, sequence`
	messageRow     = `?, ?, ?, ?, ?, ?, ?, ?, ?, @at, ?, ?, ?`
	messageRead    = `source, channel, message_id, message_key, type, subject, content_type, headers, payload, micros(created_at), epoch, lane, sequence`
)

// messageArgs are the values of messageRow.
func (d *Dialect) messageArgs(args []any, m *tidings.Message) ([]any, error) {
	headers, err := EncodeHeaders(m.Headers)
	if err != nil {
		return nil, err
	}
	payload := m.Payload
	if payload == nil {
		payload = []byte{}
	}
	return append(args, m.Source, m.Channel, m.ID, m.Key, m.Type, m.Subject, m.ContentType, headers, payload, d.Time(m.Time),
		m.Stamp.Epoch, m.Stamp.Lane, int64(m.Stamp.Sequence)), nil
}

// scanner is one row.
type scanner interface{ Scan(dest ...any) error }

// scanMessage reads messageRead behind other columns.
func scanMessage(row scanner, m *tidings.Message, before ...any) error {
	var columns Columns
	var source, epoch any
	var created sql.NullInt64
	var sequence int64
	err := row.Scan(append(before, &source, &columns.Channel, &columns.ID, &columns.Key, &columns.Type, &columns.Subject,
		&columns.ContentType, &columns.Headers, &columns.Payload, &created, &epoch, &m.Stamp.Lane, &sequence)...)
	if err != nil {
		return err
	}
	if created.Valid {
		columns.CreatedAt = created.Int64
	}
	decoded := columns.Row()
	d := decoder{err: &decoded.Err}
	stamp := tidings.Stamp{Epoch: d.text("epoch", epoch, true), Lane: m.Stamp.Lane, Sequence: uint64(sequence)}
	decoded.Message.Source = d.text("source", source, true)
	*m = decoded.Message
	m.Stamp = stamp
	return decoded.Err
}
