package capture_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidings.example/admin"
	"tidings.example/internal/connect"
)

// TestWhatIsWrittenIsSent: random rows, and their JSON decoded.
func TestWhatIsWrittenIsSent(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, db *connect.Database) {
		bytes, place := "LONGBLOB", "?, ?, ?, ?, ?"
		if db.Kind == "postgres" {
			bytes, place = "BYTEA", "$1, $2, $3, $4, $5"
		}
		exec(t, db, `CREATE TABLE things (id BIGINT PRIMARY KEY, s TEXT, f DOUBLE PRECISION, b `+bytes+`, n INTEGER)`)
		install(t, db, admin.CaptureSpec{Table: "things", Channel: "c"})
		text := rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.RuneFrom([]rune("'\"\\/\x01\x08\x0b\x1f\x7f\n\r\t<>&\u2028\ufffe😀")))).
			Filter(func(s string) bool { return len(s) < 10_000 })
		rapid.Check(t, func(t *rapid.T) {
			exec(t, db, `DELETE FROM things`)
			exec(t, db, `DELETE FROM tidings_outbox`)
			id := rapid.Int64().Draw(t, "id")
			s := rapid.Ptr(text, true).Draw(t, "s")
			f := rapid.Float64().Filter(func(f float64) bool { return !math.IsInf(f, 0) && !math.IsNaN(f) }).Draw(t, "f")
			b := rapid.SliceOf(rapid.Byte()).Draw(t, "b")
			n := rapid.Ptr(rapid.Int32(), true).Draw(t, "n")
			if s != nil && db.Kind == "postgres" { // which takes no NUL
				*s = strings.ReplaceAll(*s, "\x00", "")
			}
			exec(t, db, `INSERT INTO things (id, s, f, b, n) VALUES (`+place+`)`, id, s, f, b, n)
			exec(t, db, `DELETE FROM things`)
			rows, err := db.SQL.QueryContext(context.Background(), `SELECT message_key, payload FROM tidings_outbox ORDER BY position`)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			count := 0
			for ; rows.Next(); count++ {
				var key string
				var body []byte
				if err := rows.Scan(&key, &body); err != nil {
					t.Fatal(err)
				}
				type row struct {
					ID any
					S  *string
					F  float64
					B  json.RawMessage
					N  *int32
				}
				var p struct{ Old, New *row }
				d := json.NewDecoder(strings.NewReader(string(body)))
				d.UseNumber()
				if err := d.Decode(&p); err != nil {
					t.Fatalf("%v in %q", err, body)
				}
				got := p.New
				if count == 1 {
					got = p.Old
				}
				if fmt.Sprint(got.ID) != strconv.FormatInt(id, 10) || key != strconv.FormatInt(id, 10) {
					t.Errorf("id is %v, key %s, want %d", got.ID, key, id)
				}
				if (got.S == nil) != (s == nil) || s != nil && *got.S != *s {
					t.Errorf("text is %q, want %q in %q", deref(got.S), deref(s), body)
				}
				if got.F != f {
					t.Errorf("fraction is %v, want %v in %q", got.F, f, body)
				}
				if (got.N == nil) != (n == nil) || n != nil && *got.N != *n {
					t.Errorf("number is wrong in %q", body)
				}
				if want := encoded(db.Kind, b); string(got.B) != want {
					t.Errorf("bytes are %s, want %s", got.B, want)
				}
			}
			if count != 2 {
				t.Errorf("%d messages", count)
			}
		})
	})
}

func deref(s *string) string {
	if s == nil {
		return "NULL"
	}
	return *s
}

func encoded(kind string, b []byte) string {
	switch {
	case b == nil:
		return "null"
	case kind == "sqlite":
		return `{"hex":"` + strings.ToUpper(hex.EncodeToString(b)) + `"}`
	}
	return `"` + base64.StdEncoding.EncodeToString(b) + `"`
}
