package sqlstore

import (
	"database/sql"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tidings.example"
)

// A cells is one row, as a driver hands it over.
type cells []any

func (c cells) Scan(dest ...any) error {
	if len(dest) != len(c) {
		return fmt.Errorf("%d columns for %d values", len(c), len(dest))
	}
	for i, d := range dest {
		switch d := d.(type) {
		case *any:
			*d = c[i]
		case *int:
			n, ok := integer(c[i])
			if !ok {
				return fmt.Errorf("column %d holds a %T", i, c[i])
			}
			*d = int(n)
		case *int64:
			n, ok := integer(c[i])
			if !ok {
				return fmt.Errorf("column %d holds a %T", i, c[i])
			}
			*d = n
		default:
			return fmt.Errorf("column %d is scanned into a %T", i, d)
		}
	}
	return nil
}

var testDialect = &Dialect{Mark: "/* m */ ", Micros: "MICROS($1)", At: "CAST(? AS T)", Lock: "LOCKED", Skip: "SKIPPED",
	Index: "BY $1", OrIgnore: " OR KEEP $1", Time: func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return t.UnixMicro()
	}}

func TestMessageComesBack(t *testing.T) {
	t.Parallel()
	for _, want := range []tidings.Message{
		{ID: "1", Channel: "c", Type: "t"},
		{ID: "2", Source: "s", Channel: "c", Key: "k", Type: "t", Subject: "about", Time: time.UnixMicro(5).UTC(), ContentType: "text/plain",
			Headers: tidings.Headers{"a": "ä"}, Payload: []byte{0, 255}, Stamp: tidings.Stamp{Epoch: "e", Lane: 7, Sequence: 1<<63 - 1}},
	} {
		args, err := testDialect.messageArgs(nil, &want)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range args {
			if n, ok := v.(int); ok {
				args[i] = int64(n)
			}
		}
		var got tidings.Message
		if err := scanMessage(cells(args), &got); err != nil {
			t.Fatal(err)
		}
		if len(want.Payload) == 0 {
			want.Payload = []byte{}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
		if n := strings.Count(testDialect.text(messageRow), "?"); n != len(args) {
			t.Errorf("%d parameters for %d values", n, len(args))
		}
	}
}

// FuzzScanMessage: whatever a row holds, there is a message or an error, and no
// text that is not UTF-8.
func FuzzScanMessage(f *testing.F) {
	f.Add("s", "c", "id", "k", "t", "", "text/plain", `{"a":"b"}`, []byte("p"), "12", "e", int64(3), int64(9), true)
	f.Add("", "\xff", "", "", "", "", "", `{"a":null}`, []byte(nil), "x", "", int64(-1), int64(-1), false)
	f.Fuzz(func(t *testing.T, source, channel, id, key, kind, subject, contentType, headers string, payload []byte, created, epoch string,
		lane, sequence int64, asBytes bool) {
		row := cells{source, channel, id, key, kind, subject, contentType, headers, payload, []byte(created), epoch, lane, sequence}
		if asBytes {
			for i, v := range row {
				if s, ok := v.(string); ok {
					row[i] = []byte(s)
				}
			}
		} else {
			row[9], row[7] = nil, nil
		}
		var m tidings.Message
		if scanMessage(row, &m) != nil {
			return
		}
		for _, s := range []string{m.ID, m.Source, m.Channel, m.Key, m.Type, m.Subject, m.ContentType, m.Stamp.Epoch} {
			if !utf8.ValidString(s) {
				t.Errorf("%q is not UTF-8", s)
			}
		}
		if m.ID != id || m.Channel != channel || string(m.Payload) != string(payload) || m.Stamp.Sequence != uint64(sequence) {
			t.Errorf("%+v", m)
		}
	})
}

func TestMessageThatIsNone(t *testing.T) {
	t.Parallel()
	good := cells{"s", "c", "id", "k", "t", "", "", nil, []byte{}, int64(1), "e", int64(0), int64(0)}
	if err := scanMessage(good, new(tidings.Message)); err != nil {
		t.Fatal(err)
	}
	for column, bad := range map[int]any{0: nil, 1: []byte("\xff"), 2: int64(5), 7: "[", 8: nil, 9: "yesterday", 10: 1.5, 11: "x", 12: nil} {
		row := append(cells(nil), good...)
		row[column] = bad
		if err := scanMessage(row, new(tidings.Message)); err == nil {
			t.Errorf("column %d may be %v", column, bad)
		}
	}
}

func TestDialect(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"SELECT micros(wake_at), micros(l.since) FROM t @index(t_wake) WHERE a <= @at @skip": "SELECT MICROS(wake_at), MICROS(l.since) FROM t BY t_wake WHERE a <= CAST(? AS T) SKIPPED",
		"SELECT 1 @lock": "SELECT 1 LOCKED",
	} {
		if got := testDialect.text(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
	i := testDialect.insertion("t", "a, b", "(?, @at)", testDialect.ignore("a"))
	for n, want := range map[int]string{
		1: "/* m */ INSERT INTO t (a, b) VALUES (?, CAST(? AS T)) OR KEEP a",
		2: "/* m */ INSERT INTO t (a, b) VALUES (?, CAST(? AS T)), (?, CAST(? AS T)) OR KEEP a",
	} {
		if got := i.of(n); got != want {
			t.Errorf("%d rows: %s", n, got)
		}
	}
	// Statements for many rows are not kept: there would be too many of them.
	if got := i.of(keptRows + 1); strings.HasPrefix(got, "/*") || strings.Count(got, "?") != 2*(keptRows+1) {
		t.Errorf("many rows: %s", got)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "", "abc": "abc", "äöüß": "äöü", "abcd": "abc", "a\x00\xff!": "a \uFFFD", "ä": "ä"} {
		if got := cut(in, 3); got != want {
			t.Errorf("cut(%q) = %q, want %q", in, got, want)
		}
	}
	if got := cut(strings.Repeat("x", 10_000), 1_000_000); len(got) != MaxReason {
		t.Errorf("%d bytes", len(got))
	}
}

func TestTimeOf(t *testing.T) {
	t.Parallel()
	if got := timeOf(sql.NullInt64{}); !got.IsZero() {
		t.Errorf("NULL is %s", got)
	}
	if got := timeOf(sql.NullInt64{Valid: true}); !got.Equal(time.Unix(0, 0)) || got.Location() != time.UTC {
		t.Errorf("0 is %s", got)
	}
}
