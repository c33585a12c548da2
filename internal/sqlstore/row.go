package sqlstore

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"tidings.example"
	"tidings.example/relay"
)

// Columns are the columns of an outbox row as a driver hands them over: nil,
// text or bytes; integers for CreatedAt. Anybody may have written them.
//
// A reader of a commit log sets [relay.Row.Raw] to a *Columns where the row does
// not decode, and the store sets the row aside as it is there, whole.
type Columns struct {
	Position                                              int64
	ID, Channel, Key, Type, Subject, ContentType, Headers any
	// Payload is nil where it was longer than a message may be.
	Payload any
	// PayloadBytes is the length of the payload in the table.
	PayloadBytes any
	// CreatedAt is in microseconds since 1970, in UTC.
	CreatedAt any
}

// Into returns where to scan the columns, in the order of the fields.
func (c *Columns) Into() []any {
	return []any{&c.Position, &c.ID, &c.Channel, &c.Key, &c.Type, &c.Subject, &c.ContentType, &c.Headers,
		&c.Payload, &c.PayloadBytes, &c.CreatedAt}
}

// Row decodes the columns. What cannot be decoded becomes the row's Err, naming
// the first such column; the message then holds what could be.
func (c *Columns) Row() relay.Row {
	row := relay.Row{Position: c.Position}
	d := decoder{err: &row.Err}
	row.Message = tidings.Message{
		ID:          d.text("id", c.ID, true),
		Channel:     d.text("channel", c.Channel, true),
		Key:         d.text("message_key", c.Key, false),
		Type:        d.text("type", c.Type, true),
		Subject:     d.text("subject", c.Subject, false),
		ContentType: d.text("content_type", c.ContentType, false),
		Headers:     d.headers(c.Headers),
		Payload:     d.payload(c.Payload, c.PayloadBytes),
		Time:        d.time(c.CreatedAt),
	}
	if row.Message.ContentType == "" {
		row.Message.ContentType = "application/json"
	}
	return row
}

// decoder remembers the first error.
type decoder struct{ err *error }

func (d decoder) fail(column, format string, args ...any) {
	if *d.err == nil {
		*d.err = fmt.Errorf("column %s %s", column, fmt.Sprintf(format, args...))
	}
}

func (d decoder) text(column string, v any, required bool) string {
	var s string
	switch v := v.(type) {
	case nil:
		if required {
			d.fail(column, "is NULL")
		}
		return ""
	case string:
		s = v
	case []byte:
		s = string(v)
	default:
		d.fail(column, "holds a %T, not text", v)
		return ""
	}
	if !utf8.ValidString(s) {
		d.fail(column, "is not valid UTF-8")
	}
	return s
}

func (d decoder) headers(v any) tidings.Headers {
	s := d.text("headers", v, false)
	h, err := DecodeHeaders(s)
	if err != nil {
		d.fail("headers", "%s", err)
	}
	return h
}

func (d decoder) payload(v, length any) []byte {
	n, _ := integer(length)
	switch {
	case v == nil && n > tidings.MaxPayload:
		d.fail("payload", "has %d bytes, more than %d", n, tidings.MaxPayload)
		return nil
	case v == nil:
		d.fail("payload", "is NULL")
		return nil
	}
	switch v := v.(type) {
	case []byte:
		return v
	case string:
		return []byte(v)
	}
	d.fail("payload", "holds a %T, not bytes", v)
	return nil
}

func (d decoder) time(v any) time.Time {
	n, ok := integer(v)
	switch {
	case v == nil:
		d.fail("created_at", "is NULL or no date")
	case !ok:
		d.fail("created_at", "holds a %T, not microseconds since 1970", v)
	default:
		return time.UnixMicro(n).UTC()
	}
	return time.Time{}
}

// integer reads a number, which some drivers return as text.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case []byte:
		n, err := strconv.ParseInt(string(v), 10, 64)
		return n, err == nil
	}
	return 0, false
}

// EncodeHeaders returns headers as a JSON object, or nil where there are none,
// for a column that is NULL then.
func EncodeHeaders(h tidings.Headers) (any, error) {
	if len(h) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode headers: %w", err)
	}
	return string(b), nil
}

// DecodeHeaders reads a JSON object of strings. An empty text and null have no
// headers.
func DecodeHeaders(s string) (tidings.Headers, error) {
	if s == "" || s == "{}" {
		return nil, nil
	}
	var values map[string]*string
	if err := json.Unmarshal([]byte(s), &values); err != nil {
		return nil, fmt.Errorf("is not a JSON object of strings: %s", err)
	}
	if len(values) == 0 {
		return nil, nil
	}
	h := make(tidings.Headers, len(values))
	for name, value := range values {
		if value == nil {
			return nil, fmt.Errorf("is not a JSON object of strings: %q is null", name)
		}
		h[name] = *value
	}
	return h, nil
}

// OrNull returns s, or nil for an empty one, for a column that is NULL then.
func OrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
