package postgres

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"tidings.example"
	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

// decoder makes rows of what the server sent, with few allocations: a relay
// reads tens of thousands in a second.
type decoder struct {
	// names are those that come again and again: channels, types, content types.
	names map[string]string
	// chunk is where the next payloads go; one chunk holds those of many rows.
	chunk []byte
	// expect is how many rows the next read may have.
	expect int
	err    error
}

const (
	maxNames  = 1000
	chunkSize = 64 << 10
)

// The columns of readColumns.
const (
	columnPosition = iota
	columnID
	columnChannel
	columnKey
	columnType
	columnSubject
	columnContentType
	columnHeaders
	columnPayload
	columnCreatedAt
	columns
)

// row decodes columns in binary format, in the order of the constants above; nil is
// NULL. What cannot be decoded becomes the row's Err, naming the first such
// column; the message then holds what could be.
//
// A row that was read from the log and has an Err carries these columns, as a
// [][]byte, in relay.Row's Raw, so that it can be set aside whole.
func (d *decoder) row(v [][]byte) relay.Row {
	d.err = nil
	if len(v) != columns || len(v[columnPosition]) != 8 {
		return relay.Row{Err: fmt.Errorf("the row has %d columns, want %d beginning with a position", len(v), columns)}
	}
	row := relay.Row{Position: int64(binary.BigEndian.Uint64(v[columnPosition]))}
	m := &row.Message
	// These three are different in each row, and share one allocation.
	m.ID, m.Key, m.Subject = split(v[columnID], v[columnKey], v[columnSubject])
	d.check("id", m.ID, v[columnID] == nil)
	m.Channel = d.name("channel", v[columnChannel], true)
	d.check("message_key", m.Key, false)
	m.Type = d.name("type", v[columnType], true)
	d.check("subject", m.Subject, false)
	if m.ContentType = d.name("content_type", v[columnContentType], false); m.ContentType == "" {
		m.ContentType = "application/json"
	}
	m.Headers = d.headers(v[columnHeaders])
	m.Payload = d.payload(v[columnPayload])
	m.Time = d.time(v[columnCreatedAt])
	row.Err = d.err
	return row
}

func (d *decoder) fail(column, format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("column %s %s", column, fmt.Sprintf(format, args...))
	}
}

// check is about what the server may send where its encoding is SQL_ASCII, which
// is any bytes.
func (d *decoder) check(column, text string, isNull bool) {
	switch {
	case isNull:
		d.fail(column, "is NULL")
	case !utf8.ValidString(text):
		d.fail(column, "is not valid UTF-8")
	}
}

func split(a, b, c []byte) (string, string, string) {
	var s strings.Builder
	s.Grow(len(a) + len(b) + len(c))
	s.Write(a)
	s.Write(b)
	s.Write(c)
	all := s.String()
	return all[:len(a)], all[len(a) : len(a)+len(b)], all[len(a)+len(b):]
}

func (d *decoder) name(column string, b []byte, required bool) string {
	name, known := d.names[string(b)]
	if !known {
		name = string(b)
		d.check(column, name, required && b == nil)
		if d.err == nil {
			if d.names == nil || len(d.names) >= maxNames {
				d.names = map[string]string{}
			}
			d.names[name] = name
		}
	} else if required && b == nil {
		d.fail(column, "is NULL")
	}
	return name
}

func (d *decoder) headers(b []byte) tidings.Headers {
	if len(b) == 0 || string(b) == "{}" {
		return nil
	}
	h, err := sqlstore.DecodeHeaders(string(b))
	if err != nil {
		d.fail("headers", "%s", err)
	}
	return h
}

func (d *decoder) payload(b []byte) []byte {
	switch {
	case b == nil:
		d.fail("payload", "is NULL or has more than %d bytes", tidings.MaxPayload)
		return nil
	case len(b) > chunkSize/4:
		return append([]byte(nil), b...)
	case cap(d.chunk)-len(d.chunk) < len(b):
		d.chunk = make([]byte, 0, chunkSize)
	}
	at := len(d.chunk)
	d.chunk = append(d.chunk, b...)
	return d.chunk[at:len(d.chunk):len(d.chunk)]
}

// microsToYear2000 is what PostgreSQL's times are counted from, in Unix time.
const microsToYear2000 = 946684800 * 1_000_000

func (d *decoder) time(b []byte) time.Time {
	if len(b) != 8 {
		d.fail("created_at", "is NULL")
		return time.Time{}
	}
	micros := int64(binary.BigEndian.Uint64(b))
	if micros == math.MinInt64 || micros > math.MaxInt64-microsToYear2000 {
		d.fail("created_at", "is not a time that a message can have")
		return time.Time{}
	}
	return time.UnixMicro(micros + microsToYear2000).UTC()
}
