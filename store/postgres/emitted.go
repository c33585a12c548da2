package postgres

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tidings.example"
)

// EmittedPrefix is the prefix of messages in the log that are rows of the outbox.
const EmittedPrefix = "tidings"

// emitted is the first line of an emitted message, with the columns' names.
type emitted struct {
	ID          string          `json:"id"`
	Channel     string          `json:"channel"`
	Key         string          `json:"message_key,omitempty"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject,omitempty"`
	ContentType *string         `json:"content_type,omitempty"`
	Headers     tidings.Headers `json:"headers,omitempty"`
	CreatedAt   time.Time       `json:"created_at"`
}

// AppendEmitted appends to b what pg_logical_emit_message takes for a message: a line
// with a JSON object, and the payload as it is; see docs/formats/log-postgres.md.
func AppendEmitted(b []byte, m *tidings.Message) ([]byte, error) {
	line, err := json.Marshal(emitted{ID: m.ID, Channel: m.Channel, Key: m.Key, Type: m.Type, Subject: m.Subject,
		ContentType: &m.ContentType, Headers: m.Headers, CreatedAt: m.Time})
	if err != nil {
		return b, fmt.Errorf("encode message %q for the log: %w", m.ID, err)
	}
	b = append(b, line...)
	b = append(b, '\n')
	return append(b, m.Payload...), nil
}

// emittedColumns is what an emitted message may have; what is absent or null stays nil.
type emittedColumns struct {
	ID          *string         `json:"id"`
	Channel     *string         `json:"channel"`
	Key         *string         `json:"message_key"`
	Type        *string         `json:"type"`
	Subject     *string         `json:"subject"`
	ContentType json.RawMessage `json:"content_type"`
	Headers     json.RawMessage `json:"headers"`
	CreatedAt   *string         `json:"created_at"`
}

// DecodeEmitted returns the columns of an emitted message as a [RowDecoder] takes
// them, with position 0. committed is when its transaction was, in microseconds since the
// year 2000: what a message without created_at gets. fallback is the id of a message
// without one; it must be the same each time that the log is read. With an error, the
// columns hold what could be read.
func DecodeEmitted(content []byte, fallback string, committed int64) ([][]byte, error) {
	columns := make([][]byte, len(Columns))
	columns[columnPosition] = make([]byte, 8)
	columns[columnID] = []byte(fallback)
	columns[columnCreatedAt] = binary.BigEndian.AppendUint64(nil, uint64(committed))
	line, payload, ok := bytes.Cut(content, []byte{'\n'})
	if !ok {
		columns[columnPayload] = content
		return columns, errors.New("an emitted message has no line with its columns before the payload")
	}
	columns[columnPayload] = payload
	var c emittedColumns
	if err := json.Unmarshal(line, &c); err != nil {
		columns[columnPayload] = content
		return columns, fmt.Errorf("the first line of an emitted message is not a JSON object of its columns: %w", err)
	}
	for i, text := range map[int]*string{columnChannel: c.Channel, columnKey: c.Key, columnType: c.Type, columnSubject: c.Subject} {
		if text != nil {
			columns[i] = []byte(*text)
		}
	}
	if c.ID != nil {
		columns[columnID] = []byte(*c.ID)
	}
	if len(c.ContentType) > 0 && string(c.ContentType) != "null" {
		var contentType string
		if err := json.Unmarshal(c.ContentType, &contentType); err != nil {
			return columns, errors.New("column content_type of an emitted message is not a text")
		}
		columns[columnContentType] = []byte(contentType)
	}
	if len(c.Headers) > 0 && string(c.Headers) != "null" {
		columns[columnHeaders] = c.Headers
	}
	if c.CreatedAt != nil {
		at, err := time.Parse(time.RFC3339Nano, *c.CreatedAt)
		if err != nil {
			return columns, errors.New("column created_at of an emitted message is not a time as in 2006-01-02T15:04:05.999999Z")
		}
		binary.BigEndian.PutUint64(columns[columnCreatedAt], uint64(at.UnixMicro()-microsToYear2000))
	}
	return columns, nil
}
