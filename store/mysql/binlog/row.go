package binlog

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"tidings.example"
	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

// decoder makes rows of row images.
type decoder struct {
	// names are those that come again and again: channels, types, content types.
	names map[string]string
	text  []byte // of one row, used again
}

const maxNames = 1000

// inserted are the rows of one event that inserts.
type inserted struct {
	t *table
	// present is a bitmap of the columns that each row has; nil is all.
	present []byte
	images  []byte
}

// parseInserted reads the head of an event. r is behind the table's number.
func parseInserted(r *reading, t *table, extra bool) (inserted, error) {
	if extra {
		r.bytes(int(r.uint(2)) - 2)
	}
	n := r.packed()
	in := inserted{t: t, present: r.bytes((n + 7) / 8), images: r.rest}
	switch {
	case r.err != nil:
		return in, fmt.Errorf("read rows of %s: %w", tableNames[t.which], r.err)
	case n != len(t.columns):
		return in, fmt.Errorf("read rows of %s: %d columns, and its map has %d", tableNames[t.which], n, len(t.columns))
	}
	whole := true
	for i := range n {
		whole = whole && has(in.present, i)
	}
	if whole {
		in.present = nil
	}
	return in, nil
}

func has(bitmap []byte, i int) bool { return bitmap[i>>3]&(1<<(i&7)) != 0 }

// each calls fn for each row. The rows' payloads are parts of the event's bytes.
func (d *decoder) each(in inserted, fn func(row relay.Row, size int) error) error {
	rest := in.images
	for len(rest) > 0 {
		var v values
		before := len(rest)
		var err error
		if rest, err = v.read(&in, rest); err != nil {
			return fmt.Errorf("read a row of %s: %w", tableNames[in.t.which], err)
		}
		if err := fn(d.row(&v, in.t), before-len(rest)); err != nil {
			return err
		}
	}
	return nil
}

// values are the values of our columns in one row. A value that is not there
// is nil; one that is empty is not.
type values struct {
	v       [columnCount][]byte
	missing [columnCount]bool // not in the image, so the server knows its default, and we do not
}

// read reads one row image.
func (v *values) read(in *inserted, b []byte) (rest []byte, err error) {
	columns := in.t.columns
	there := len(columns)
	if in.present != nil {
		there = 0
		for i := range columns {
			if has(in.present, i) {
				there++
			}
		}
	}
	if len(b) < (there+7)/8 || there == 0 {
		return nil, errShort
	}
	nulls := b[:(there+7)/8]
	b = b[len(nulls):]
	n := 0
	var byPlace [64]int8
	which := byPlace[:]
	if len(columns) > len(which) {
		which = make([]int8, len(columns))
	}
	for c, at := range in.t.at {
		if at >= 0 {
			which[at] = int8(c) + 1
		}
	}
	for i, column := range columns {
		c := int(which[i]) - 1
		if in.present != nil && !has(in.present, i) {
			if c >= 0 {
				v.missing[c] = true
			}
			continue
		}
		isNull := has(nulls, n)
		n++
		if isNull {
			continue
		}
		var value []byte
		if value, b, err = column.take(b); err != nil {
			return nil, err
		}
		if c >= 0 {
			v.v[c] = value
		}
	}
	return b, nil
}

var errDefault = errors.New("is not in the log: set binlog_row_image = FULL, or give it in the INSERT")

// row makes a row. What cannot be decoded becomes its Err; it then has all
// columns in Raw.
func (d *decoder) row(v *values, t *table) relay.Row {
	var row relay.Row
	if b := v.v[columnPosition]; b != nil && t.which == tableOutbox {
		row.Position = t.columns[t.at[columnPosition]].integer(b)
	}
	m := &row.Message
	ok := d.name(&m.Channel, v.v[columnChannel]) && d.name(&m.Type, v.v[columnType]) && v.v[columnID] != nil &&
		v.v[columnPayload] != nil && len(v.v[columnPayload]) <= tidings.MaxPayload
	micros, dated := int64(0), false
	if b := v.v[columnCreatedAt]; b != nil {
		micros, dated = t.columns[t.at[columnCreatedAt]].micros(b)
	}
	m.ContentType = "application/json"
	if b := v.v[columnContentType]; len(b) > 0 {
		ok = ok && d.name(&m.ContentType, b)
	}
	// One piece of memory for the three, which are short.
	id, key := len(v.v[columnID]), len(v.v[columnKey])
	d.text = append(append(append(d.text[:0], v.v[columnID]...), v.v[columnKey]...), v.v[columnSubject]...)
	text := string(d.text)
	m.ID, m.Key, m.Subject = text[:id], text[id:id+key], text[id+key:]
	if h := v.v[columnHeaders]; len(h) > 0 && string(h) != "{}" {
		var err error
		m.Headers, err = sqlstore.DecodeHeaders(string(h))
		ok = ok && err == nil && utf8.Valid(h)
	}
	if ok && dated && utf8.ValidString(m.ID) && utf8.ValidString(m.Key) && utf8.ValidString(m.Subject) {
		m.Payload = v.v[columnPayload]
		m.Time = time.UnixMicro(micros).UTC()
		return row
	}
	return d.bad(v, t, row.Position, micros, dated)
}

// bad makes a row of what is not usual, with the same words as the table's reader.
func (d *decoder) bad(v *values, t *table, position, micros int64, dated bool) relay.Row {
	value := func(c int) any {
		if v.v[c] == nil {
			return nil
		}
		return append([]byte(nil), v.v[c]...)
	}
	c := sqlstore.Columns{Position: position, ID: value(columnID), Channel: value(columnChannel), Key: value(columnKey),
		Type: value(columnType), Subject: value(columnSubject), ContentType: value(columnContentType),
		Headers: value(columnHeaders), Payload: value(columnPayload)}
	if c.Payload != nil {
		c.PayloadBytes = int64(len(v.v[columnPayload]))
	}
	if dated {
		c.CreatedAt = micros
	}
	raw := c
	if len(v.v[columnPayload]) > tidings.MaxPayload {
		c.Payload = nil
	}
	row := c.Row()
	for i := range columnCount {
		if v.missing[i] && v.v[i] == nil && (i == columnID || i == columnCreatedAt || i == columnPosition && t.which == tableOutbox) {
			row.Err = fmt.Errorf("column %s %w", columnNames[i], errDefault)
			break
		}
	}
	if row.Err != nil {
		row.Raw = &raw
	}
	return row
}

// name sets s to text that comes often, and tells whether it is there and well.
func (d *decoder) name(s *string, b []byte) bool {
	if b == nil {
		return false
	}
	known, ok := d.names[string(b)]
	if !ok {
		if known = string(b); !utf8.ValidString(known) {
			return false
		}
		if d.names == nil || len(d.names) >= maxNames {
			d.names = map[string]string{}
		}
		d.names[known] = known
	}
	*s = known
	return true
}
