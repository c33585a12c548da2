package postgres

import (
	"database/sql"
	"fmt"
	"strings"
	"time"

	"tidings.example"
	"tidings.example/internal/sqlstore"
)

// messageColumns are those of a message that is stored whole.
const messageColumns = `source, channel, message_id, message_key, type, subject, content_type, headers, payload, created_at, epoch, lane, sequence`

// insertMessage returns the statement that stores a message whole, beside the columns before.
func insertMessage(table, columns string) string {
	n := strings.Count(columns, ",") + 1 + strings.Count(messageColumns, ",") + 1
	var marks strings.Builder
	for i := range n {
		if i > 0 {
			marks.WriteString(", ")
		}
		fmt.Fprintf(&marks, "$%d", i+1)
	}
	return fmt.Sprintf("INSERT INTO %s (%s, %s) VALUES (%s)", table, columns, messageColumns, &marks)
}

// messageArgs returns before, and the values of messageColumns.
func messageArgs(m *tidings.Message, before ...any) ([]any, error) {
	headers, err := sqlstore.EncodeHeaders(m.Headers)
	if err != nil {
		return nil, fmt.Errorf("message %q: %w", m.ID, err)
	}
	return append(before, m.Source, m.Channel, m.ID, m.Key, m.Type, m.Subject, m.ContentType, headers, notNil(m.Payload),
		orNull(m.Time), m.Stamp.Epoch, m.Stamp.Lane, int64(m.Stamp.Sequence)), nil
}

// scanMessage reads into before, and then messageColumns.
func scanMessage(scan func(...any) error, before ...any) (m tidings.Message, err error) {
	var headers sql.NullString
	var made sql.Null[time.Time]
	var sequence int64
	err = scan(append(before, &m.Source, &m.Channel, &m.ID, &m.Key, &m.Type, &m.Subject, &m.ContentType, &headers, &m.Payload,
		&made, &m.Stamp.Epoch, &m.Stamp.Lane, &sequence)...)
	if err != nil {
		return m, err
	}
	m.Stamp.Sequence = uint64(sequence)
	if made.Valid {
		m.Time = made.V.UTC()
	}
	if m.Headers, err = sqlstore.DecodeHeaders(headers.String); err != nil {
		return m, fmt.Errorf("message %q: headers %w", m.ID, err)
	}
	return m, nil
}

// oneMessage reads the message of a single row, nil where there is none, from
// messageColumns.
func oneMessage(into **tidings.Message) func(scan func(...any) error) error {
	return func(scan func(...any) error) error {
		m, err := scanMessage(scan)
		*into = &m
		return err
	}
}
