package capture_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidings.example/admin"
	"tidings.example/internal/connect"
)

// big makes text of n bytes in the database.
func big(kind, char string, n int) string {
	if kind == "sqlite" {
		return fmt.Sprintf(`REPLACE(HEX(ZEROBLOB(%d)), '00', '%s')`, n, char)
	}
	return fmt.Sprintf(`REPEAT('%s', %d)`, char, n)
}

// TestLongValues: the change goes through, the message fits, and says what it lacks.
func TestLongValues(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, db *connect.Database) {
		text, bytes := "TEXT", "BLOB"
		switch db.Kind {
		case "mysql":
			text, bytes = "LONGTEXT", "LONGBLOB"
		case "postgres":
			bytes = "BYTEA"
		}
		var columns []string
		for i := range 10 {
			columns = append(columns, fmt.Sprintf("t%d %s", i, text))
		}
		exec(t, db, `CREATE TABLE docs (id INTEGER PRIMARY KEY, b `+bytes+`, `+strings.Join(columns, ", ")+`)`)
		install(t, db, admin.CaptureSpec{Table: "docs", Channel: "c"})

		exec(t, db, `INSERT INTO docs (id, t0, t1) VALUES (1, `+big(db.Kind, "x", 256<<10)+`, `+big(db.Kind, "x", 256<<10+1)+`)`)
		m := one(t, db)
		if !slices.Equal(m.Payload.Omitted, []string{"new.t1"}) || len(m.Payload.New["t0"].(string)) != 256<<10 || m.Payload.New["id"] != 1.0 {
			t.Errorf("one long value: omitted %v of %d bytes", m.Payload.Omitted, m.Bytes)
		}
		if _, there := m.Payload.New["t1"]; there {
			t.Error("the omitted value is there")
		}

		exec(t, db, `UPDATE docs SET t0 = `+big(db.Kind, "y", 8<<20)+`, t1 = 'short', b = `+map[string]string{
			"sqlite": "ZEROBLOB(30000000)", "mysql": "REPEAT('x', 8000000)", "postgres": `decode(repeat('00', 30000000), 'hex')`}[db.Kind])
		m = one(t, db)
		if !slices.Equal(m.Payload.Omitted, []string{"old.t1", "new.b", "new.t0"}) || m.Payload.New["t1"] != "short" {
			t.Errorf("omitted %v", m.Payload.Omitted)
		}

		// Many that are not long by themselves: 4 KiB stay, then nothing does.
		exec(t, db, `DELETE FROM docs`)
		take(t, db)
		var set []string
		for i := range 10 {
			set = append(set, big(db.Kind, "x", 100<<10))
			if i == 9 {
				set[i] = "'small'"
			}
		}
		exec(t, db, `INSERT INTO docs VALUES (2, NULL, `+strings.Join(set, ", ")+`)`)
		m = one(t, db)
		if len(m.Payload.Omitted) != 9 || m.Payload.New["t9"] != "small" || m.Bytes > 900_000 {
			t.Errorf("omitted %v of %d bytes", m.Payload.Omitted, m.Bytes)
		}
		exec(t, db, `DELETE FROM docs`)
		if m := one(t, db); len(m.Payload.Omitted) != 9 || m.Payload.Old["t9"] != "small" || m.Key.String != "2" {
			t.Errorf("omitted %v", m.Payload.Omitted)
		}
	})
}

// TestHundredsOfMiddlingValues needs the last limit.
func TestHundredsOfMiddlingValues(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, db *connect.Database) {
		var columns, values []string
		for i := range 150 {
			columns = append(columns, fmt.Sprintf("t%d TEXT", i))
			values = append(values, big(db.Kind, `"`, 3500))
		}
		exec(t, db, `CREATE TABLE wide (id INTEGER PRIMARY KEY, `+strings.Join(columns, ", ")+`)`)
		install(t, db, admin.CaptureSpec{Table: "wide", Channel: "c"})
		exec(t, db, `INSERT INTO wide VALUES (1, `+strings.Join(values, ", ")+`)`)
		m := one(t, db)
		if len(m.Payload.Omitted) != 150 || m.Payload.New["id"] != 1.0 || m.Bytes > 900_000 {
			t.Errorf("omitted %d of %d bytes", len(m.Payload.Omitted), m.Bytes)
		}
	})
}

func TestKeys(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, db *connect.Database) {
		text := map[string]string{"sqlite": "TEXT", "postgres": "TEXT", "mysql": "VARCHAR(600) COLLATE utf8mb4_general_ci"}[db.Kind]
		exec(t, db, `CREATE TABLE keyed (a `+text+`, b BIGINT, n INTEGER)`)
		install(t, db, admin.CaptureSpec{Table: "keyed", Channel: "c", Key: []string{"a"}})
		hashed := func(value, prefix string) string {
			if db.Kind == "sqlite" {
				return prefix
			}
			sum := sha256.Sum256([]byte(value))
			return "sha256:" + hex.EncodeToString(sum[:])
		}
		x := strings.Repeat("x", 256)
		for value, want := range map[string]string{
			"plain":         "plain",
			"é😀 \"'":        "é😀 \"'",
			x[:255]:         x[:255],
			x:               hashed(x, "prefix:256:"+strings.Repeat("78", 100)),
			"":              hashed("", "prefix:0:"),
			"tab\t":         hashed("tab\t", "prefix:4:74616209"),
			"\x7f":          hashed("\x7f", "prefix:1:7f"),
			"line\nfeed":    hashed("line\nfeed", "prefix:9:6c696e650a66656564"),
			"[a-z]*?^-\\%_": "[a-z]*?^-\\%_",
		} {
			insert := `INSERT INTO keyed (a) VALUES (?)`
			if db.Kind == "postgres" {
				insert = `INSERT INTO keyed (a) VALUES ($1)`
			}
			exec(t, db, insert, value)
			if got := one(t, db).Key.String; got != want {
				t.Errorf("the key of %q is %q, want %q", value, got, want)
			}
		}
		exec(t, db, `INSERT INTO keyed (n) VALUES (1)`)
		if m := one(t, db); m.Key.Valid {
			t.Errorf("the key of NULL is %q", m.Key.String)
		}
		// A change of case is one of the key, whatever the column's collation says.
		exec(t, db, `DELETE FROM keyed`)
		exec(t, db, `INSERT INTO keyed (a, b) VALUES ('case', 5)`)
		take(t, db)
		exec(t, db, `UPDATE keyed SET a = 'CASE'`)
		if got := take(t, db); len(got) != 2 || got[0].Key.String != "case" || got[1].Key.String != "CASE" || !got[0].Payload.KeyChanged {
			t.Errorf("a change of the key: %+v", got)
		}
		install(t, db, admin.CaptureSpec{Table: "keyed", Channel: "c", Key: []string{"b", "a", "n"}})
		exec(t, db, `INSERT INTO keyed (a, b) VALUES ('a"b', 5)`)
		want := `["5","a\"b",null]`
		if db.Kind == "sqlite" {
			want = `[5,"a\"b",null]`
		}
		if m := one(t, db); m.Key.String != want {
			t.Errorf("the key of several columns is %s, want %s", m.Key.String, want)
		}
	})
}
