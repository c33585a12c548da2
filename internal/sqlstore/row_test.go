package sqlstore

import (
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"tidings.example"
)

func good() Columns {
	return Columns{Position: 7, ID: "1", Channel: []byte("orders"), Key: nil, Type: "T", Subject: nil, ContentType: nil,
		Headers: nil, Payload: []byte("{}"), PayloadBytes: int64(2), CreatedAt: int64(1_700_000_000_000_001)}
}

func TestRowNamesTheBadColumn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		column string
		change func(c *Columns)
	}{
		{"", func(*Columns) {}},
		{"", func(c *Columns) {
			c.Payload, c.CreatedAt, c.PayloadBytes = "text", []byte("1700000000000001"), []byte("4")
		}},
		{"", func(c *Columns) { c.Headers = []byte(`{"a":"b"}`) }},
		{"id", func(c *Columns) { c.ID = nil }},
		{"channel", func(c *Columns) { c.Channel = []byte{0xff} }},
		{"message_key", func(c *Columns) { c.Key = 1.5 }},
		{"type", func(c *Columns) { c.Type = nil }},
		{"headers", func(c *Columns) { c.Headers = `{"a":1}` }},
		{"headers", func(c *Columns) { c.Headers = `{"a":null}` }},
		{"payload", func(c *Columns) { c.Payload = nil }},
		{"payload has 16777217 bytes", func(c *Columns) { c.Payload, c.PayloadBytes = nil, int64(tidings.MaxPayload+1) }},
		{"payload", func(c *Columns) { c.Payload = int64(1) }},
		{"created_at", func(c *Columns) { c.CreatedAt = nil }},
		{"created_at", func(c *Columns) { c.CreatedAt = "yesterday" }},
	} {
		c := good()
		test.change(&c)
		row := c.Row()
		if test.column == "" {
			if row.Err != nil {
				t.Errorf("%+v: %v", c, row.Err)
			} else if err := row.Message.Validate(); err != nil {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		if row.Err == nil || !strings.HasPrefix(row.Err.Error(), "column "+test.column) {
			t.Errorf("%+v: %v, want column %s", c, row.Err, test.column)
		}
		if row.Position != 7 {
			t.Errorf("position %d of a bad row", row.Position)
		}
	}
}

func TestHeadersComeBack(t *testing.T) {
	t.Parallel()
	for _, h := range []tidings.Headers{nil, {"a": ""}, {"a": `"\` + "\u2028<é😀", "b": "2"}} {
		v, err := EncodeHeaders(h)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := v.(string)
		got, err := DecodeHeaders(text)
		if err != nil || !maps.Equal(got, h) {
			t.Errorf("%v came back as %v, %v", h, got, err)
		}
	}
}

// FuzzRow: whatever is in a row, decoding it gives a row with its position, and
// a message without an error can be appended again as it is.
func FuzzRow(f *testing.F) {
	f.Add("id", "channel", "key", "type", `{"a":"b"}`, []byte("payload"), int64(1), uint8(0))
	f.Add("", "\xff", "", "", `{"a":null}`, []byte(nil), int64(math.MinInt64), uint8(255))
	f.Fuzz(func(t *testing.T, id, channel, key, kind, headers string, payload []byte, created int64, shape uint8) {
		value := func(bit uint8, s string) any {
			switch {
			case shape&bit == 0:
				return s
			case len(s)%2 == 0:
				return []byte(s)
			}
			return nil
		}
		c := Columns{Position: 5, ID: value(1, id), Channel: value(2, channel), Key: value(4, key), Type: value(8, kind),
			Headers: value(16, headers), Payload: value(32, string(payload)), CreatedAt: created}
		if shape&64 != 0 {
			c.CreatedAt = value(64, id)
		}
		row := c.Row()
		if row.Position != 5 {
			t.Fatalf("position %d", row.Position)
		}
		if row.Err != nil {
			return
		}
		encoded, err := EncodeHeaders(row.Message.Headers)
		if err != nil {
			t.Fatal(err)
		}
		m := &row.Message
		again := (&Columns{Position: 5, ID: m.ID, Channel: m.Channel, Key: OrNull(m.Key), Type: m.Type, ContentType: m.ContentType,
			Headers: encoded, Payload: m.Payload, CreatedAt: m.Time.UnixMicro()}).Row()
		if again.Err != nil {
			t.Fatalf("%+v does not decode again: %v", row.Message, again.Err)
		}
		if !maps.Equal(again.Message.Headers, m.Headers) || !again.Message.Time.Equal(m.Time.Truncate(time.Microsecond)) {
			t.Fatalf("%+v came back as %+v", row.Message, again.Message)
		}
	})
}
