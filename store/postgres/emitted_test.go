package postgres

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidings.example"
)

// TestEmittedMessagesComeBack: what is written to the log is what is read from it.
func TestEmittedMessagesComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := tidings.Message{ID: rapid.String().Draw(t, "id"), Channel: rapid.String().Draw(t, "channel"), Key: rapid.String().Draw(t, "key"),
			Type: rapid.String().Draw(t, "type"), Subject: rapid.String().Draw(t, "subject"),
			ContentType: rapid.StringN(1, 20, -1).Draw(t, "content type"), Payload: rapid.SliceOf(rapid.Byte()).Draw(t, "payload"),
			Time: time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "time")).UTC()}
		if rapid.Bool().Draw(t, "has headers") {
			m.Headers = tidings.Headers{rapid.String().Draw(t, "name"): rapid.String().Draw(t, "value")}
		}
		b, err := AppendEmitted(nil, &m)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := DecodeEmitted(b, "fallback", 0)
		if err != nil {
			t.Fatal(err)
		}
		var d RowDecoder
		row := d.Row(columns)
		got := row.Message
		if row.Err != nil || row.Position != 0 || got.ID != m.ID || got.Channel != m.Channel || got.Key != m.Key || got.Type != m.Type || got.Subject != m.Subject ||
			got.ContentType != m.ContentType || string(got.Payload) != string(m.Payload) || !got.Time.Equal(m.Time) || len(got.Headers) != len(m.Headers) {
			t.Fatalf("%+v came back as %+v", m, row)
		}
		for name, value := range m.Headers {
			if got.Headers[name] != value {
				t.Fatalf("header %q is %q, want %q", name, got.Headers[name], value)
			}
		}
	})
}

func FuzzEmitted(f *testing.F) {
	for _, s := range []string{"", "\n", "{}\n", "null\nx", "{\"id\":\"1\",\"channel\":\"c\",\"type\":\"T\",\"headers\":{\"a\":1},\"created_at\":\"2030-01-02T03:04:05Z\"}\nx",
		"{\"content_type\":7}\n", "{\"created_at\":\"yesterday\"}\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		columns, err := DecodeEmitted(content, "fallback", 1)
		if len(columns) != len(Columns) || len(columns[0]) != 8 {
			t.Fatalf("%d columns", len(columns))
		}
		var d RowDecoder
		row := d.Row(columns)
		if err == nil && row.Err != nil && row.Raw == nil {
			t.Fatalf("a row with the error %q is not kept", row.Err)
		}
	})
}
