package sqlstore

import "tidings.example"

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

// scanMessage reads messageRead behind other columns. A message without a time had none.
func scanMessage(row scanner, m *tidings.Message, before ...any) error {
	var source, channel, id, key, kind, subject, contentType, headers, payload, created, epoch any
	var sequence int64
	err := row.Scan(append(before, &source, &channel, &id, &key, &kind, &subject, &contentType, &headers, &payload, &created,
		&epoch, &m.Stamp.Lane, &sequence)...)
	if err != nil {
		return err
	}
	d := decoder{err: &err}
	m.ID = d.text("message_id", id, true)
	m.Source = d.text("source", source, true)
	m.Channel = d.text("channel", channel, true)
	m.Key = d.text("message_key", key, true)
	m.Type = d.text("type", kind, true)
	m.Subject = d.text("subject", subject, true)
	m.ContentType = d.text("content_type", contentType, true)
	m.Headers = d.headers(headers)
	m.Payload = d.payload(payload, nil)
	if created != nil {
		m.Time = d.time(created)
	}
	m.Stamp.Epoch, m.Stamp.Sequence = d.text("epoch", epoch, true), uint64(sequence)
	return err
}
