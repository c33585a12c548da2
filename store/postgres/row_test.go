package postgres

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tidings.example"
)

func int8Bytes(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// goodRow is what the server sends for a row.
func goodRow() [][]byte {
	return [][]byte{int8Bytes(7), []byte("id-1"), []byte("orders"), []byte("k"), []byte("OrderCreated"), []byte("s"),
		[]byte("text/plain"), []byte(`{"tenant":"x"}`), []byte("payload"), int8Bytes(0)}
}

func TestRowDecodes(t *testing.T) {
	t.Parallel()
	var d decoder
	for range 2 { // the second time the names are known
		row := d.row(goodRow())
		m := row.Message
		if row.Err != nil || row.Position != 7 || m.ID != "id-1" || m.Channel != "orders" || m.Key != "k" || m.Type != "OrderCreated" ||
			m.Subject != "s" || m.ContentType != "text/plain" || m.Headers["tenant"] != "x" || string(m.Payload) != "payload" ||
			!m.Time.Equal(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Fatalf("row: %+v", row)
		}
	}
}

func TestRowErrorsNameTheColumn(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		column int
		value  []byte
		want   string // empty: no error
	}{
		{"no id", columnID, nil, "column id is NULL"},
		{"no channel", columnChannel, nil, "column channel is NULL"},
		{"no type", columnType, nil, "column type is NULL"},
		{"no payload", columnPayload, nil, "column payload is NULL or has more than"},
		{"no time", columnCreatedAt, nil, "column created_at is NULL"},
		{"no key", columnKey, nil, ""},
		{"no subject", columnSubject, nil, ""},
		{"no content type", columnContentType, nil, ""},
		{"no headers", columnHeaders, nil, ""},
		{"empty headers", columnHeaders, []byte{}, ""},
		{"empty payload", columnPayload, []byte{}, ""},
		{"headers of another kind", columnHeaders, []byte(`[1]`), "column headers is not a JSON object of strings"},
		{"headers cut short", columnHeaders, []byte(`{"a":"`), "column headers is not a JSON object of strings"},
		{"bytes in the key", columnKey, []byte{0xff}, "column message_key is not valid UTF-8"},
		{"bytes in the channel", columnChannel, []byte{0xff}, "column channel is not valid UTF-8"},
		{"infinity", columnCreatedAt, int8Bytes(math.MaxInt64), "column created_at is not a time"},
		{"minus infinity", columnCreatedAt, int8Bytes(math.MinInt64), "column created_at is not a time"},
	}
	for _, c := range cases {
		// A decoder that has seen much, and a fresh one.
		var used decoder
		used.row(goodRow())
		used.row([][]byte{int8Bytes(8), {}, {}, {}, {}, {}, {}, {}, {}, int8Bytes(0)})
		for _, d := range []*decoder{&used, {}} {
			v := goodRow()
			v[c.column] = c.value
			row := d.row(v)
			switch {
			case c.want == "" && row.Err != nil:
				t.Errorf("%s: %v", c.name, row.Err)
			case c.want != "" && (row.Err == nil || !strings.Contains(row.Err.Error(), c.want)):
				t.Errorf("%s: error %v, want %q", c.name, row.Err, c.want)
			case row.Position != 7 || c.column != columnChannel && row.Message.Channel != "orders":
				t.Errorf("%s: what is good was lost: %+v", c.name, row)
			}
		}
	}
}

func TestRowPayloadsDoNotTouch(t *testing.T) {
	t.Parallel()
	var d decoder
	var all [][]byte
	for i := range 1000 {
		v := goodRow()
		v[columnPayload] = []byte(strings.Repeat(string(rune('a'+i%26)), 1+i%300))
		all = append(all, d.row(v).Message.Payload)
	}
	for i, p := range all {
		_ = append(p, '!') // an owner may do that
		if want := strings.Repeat(string(rune('a'+i%26)), 1+i%300); string(p) != want {
			t.Fatalf("payload %d is %q", i, p)
		}
	}
}

func FuzzRow(f *testing.F) {
	good := goodRow()
	f.Add(good[0], good[1], good[2], good[3], good[4], good[5], good[6], good[7], good[8], good[9], uint16(0))
	f.Add(good[0], good[1], good[2], good[3], good[4], good[5], good[6], []byte(`{"a":null,"b":"\ud800"}`), good[8], int8Bytes(math.MaxInt64), uint16(1<<columnID))
	var shared decoder
	f.Fuzz(func(t *testing.T, position, id, channel, key, typ, subject, contentType, headers, payload, createdAt []byte, nulls uint16) {
		v := [][]byte{position, id, channel, key, typ, subject, contentType, headers, payload, createdAt}
		for i := range v {
			if nulls&(1<<i) != 0 {
				v[i] = nil
			}
		}
		row := shared.row(v)
		if again := new(decoder).row(v); (row.Err == nil) != (again.Err == nil) {
			t.Fatalf("a used decoder says %v, a new one %v", row.Err, again.Err)
		}
		if row.Err != nil {
			if strings.Contains(row.Err.Error(), "\n") {
				t.Fatalf("an error of several lines: %q", row.Err)
			}
			return
		}
		m := row.Message
		for _, text := range []string{m.ID, m.Channel, m.Key, m.Type, m.Subject, m.ContentType} {
			if !utf8.ValidString(text) {
				t.Fatalf("%q is not valid UTF-8", text)
			}
		}
		if m.ID != string(id) || m.Key != string(v[columnKey]) || string(m.Payload) != string(payload) || m.Time.Location() != time.UTC {
			t.Fatalf("decoded %+v", m)
		}
		_ = m.Validate() // says what is wrong, or nothing
		_ = tidings.LaneOf(m.OrderingKey(), 960)
	})
}
