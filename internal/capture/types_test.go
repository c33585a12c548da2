package capture_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"tidings.example/admin"
	"tidings.example/internal/connect"
)

// A typed is a column, a value as SQL writes it, and what a message has.
type typed struct{ column, value, want string }

var types = map[string][]typed{
	"postgres": {
		{"boolean", "true", `true`},
		{"smallint", "-32768", `-32768`},
		{"integer", "2147483647", `2147483647`},
		{"bigint", "9007199254740993", `"9007199254740993"`},
		{"bigint", "NULL", `null`},
		{"numeric", "12345678901234567890.123456789012345678901234567890", `"12345678901234567890.123456789012345678901234567890"`},
		{"numeric", "'NaN'", `"NaN"`},
		{"numeric(8,2)", "1.5", `"1.50"`},
		{"real", "0.1", `0.1`},
		{"double precision", "0.1::float8 + 0.2::float8", `0.30000000000000004`},
		{"double precision", "'-Infinity'", `"-Infinity"`},
		{"money", "12.34", `"12.34"`},
		{"text", `E'quote " slash \\ \n\t\x01 \u00e9 \U0001F600 ''x'''`, `"quote \" slash \\ \n\t\u0001 é 😀 'x'"`},
		{"char(4)", "'ab'", `"ab  "`},
		{"varchar(9)", "''", `""`},
		{"bytea", `'\x00ff10'`, `"AP8Q"`},
		{"bytea", `decode(repeat('ab', 100), 'hex')`, `"` + strings.Repeat("q6ur", 33) + `qw=="`},
		{"date", "'2024-02-29'", `"2024-02-29"`},
		{"date", "'infinity'", `"infinity"`},
		{"time", "'23:59:59.123456'", `"23:59:59.123456"`},
		{"timetz", "'23:59:59+02'", `"23:59:59+02"`},
		{"timestamp", "'2024-02-29 12:00:00.5'", `"2024-02-29T12:00:00.5"`},
		{"timestamptz", "'2024-02-29 12:00:00.000001+02'", `"2024-02-29T10:00:00.000001+00:00"`},
		{"interval", "'1 day 2 hours'", `"P1DT2H"`},
		{"uuid", "'00112233-4455-6677-8899-aabbccddeeff'", `"00112233-4455-6677-8899-aabbccddeeff"`},
		{"json", `'{"a": 12345678901234567890, "b":"\u0000"}'`, `"{\"a\": 12345678901234567890, \"b\":\"\\u0000\"}"`},
		{"jsonb", `'{"a":1}'`, `"{\"a\": 1}"`},
		{"integer[]", "'{{1,2},{3,NULL}}'", `[[1,2],[3,null]]`},
		{"bigint[]", "'{9007199254740993,NULL}'", `["9007199254740993",null]`},
		{"text[]", `ARRAY['a"b', 'c,d']`, `["a\"b","c,d"]`},
		{"mood", "'so ''la la'''", `"so 'la la'"`},
		{"mood[]", "'{sad}'", `["sad"]`},
		{"positive", "7", `7`},
		{"big", "7", `"7"`},
		{"pair", "ROW(1, 'x y')", `"(1,\"x y\")"`},
		{"int4range", "'[1,5)'", `"[1,5)"`},
		{"bit(5)", "B'00101'", `"00101"`},
		{"inet", "'10.0.0.1/8'", `"10.0.0.1/8"`},
		{"point", "'(1,2)'", `"(1,2)"`},
		{"tsvector", "'a b'", `"'a' 'b'"`},
		{"xml", "'<a/>'", `"<a/>"`},
		{"integer GENERATED ALWAYS AS (id * 2) STORED", "DEFAULT", `2`},
	},
	"mysql": {
		{"boolean", "TRUE", `1`},
		{"tinyint", "-128", `-128`},
		{"smallint unsigned", "65535", `65535`},
		{"mediumint", "1", `1`},
		{"int unsigned zerofill", "42", `42`},
		{"bigint unsigned", "18446744073709551615", `"18446744073709551615"`},
		{"decimal(65,30)", "12345678901234567890.123456789", `"12345678901234567890.123456789000000000000000000000"`},
		{"decimal(65,30)", "NULL", `null`},
		{"float", "16777217.5", `16777218`},
		{"float", "0.1", `0.10000000149011612`},
		{"double", "0.1e0 + 0.2e0", `0.30000000000000004`},
		{"double", "1e300", `1e300`},
		{"bit(9)", "b'101'", `"000000101"`},
		{"char(4)", "'ab'", `"ab"`},
		{"varchar(80)", `'quote " slash \\ \n\t\r\b\Z é 😀 ''x'''`, `"quote \" slash \\ \n\t\r\b\u001a é 😀 'x'"`},
		{"varchar(9) character set latin1", "'é'", `"é"`},
		{"varchar(9) character set utf16", "'é😀'", `"é😀"`},
		{"text", "''", `""`},
		{"binary(3)", "X'00ff10'", `"AP8Q"`},
		{"varbinary(9)", "X''", `""`},
		{"blob", "UNHEX(REPEAT('ab', 100))", `"` + strings.Repeat("q6ur", 33) + `qw=="`},
		{"enum('a','b\"c')", "'b\"c'", `"b\"c"`},
		{"set('x','y','z')", "'x,z'", `"x,z"`},
		{"date", "'2024-02-29'", `"2024-02-29"`},
		{"time(3)", "'-838:59:58.999'", `"-838:59:58.999"`},
		{"year", "2024", `2024`},
		{"datetime", "'2024-02-29 12:00:00'", `"2024-02-29T12:00:00"`},
		{"datetime(6)", "'2024-02-29 12:00:00.000001'", `"2024-02-29T12:00:00.000001"`},
		{"timestamp NULL", "'2024-02-29 12:00:00'", `"2024-02-29T10:00:00Z"`},
		{"timestamp(6) NULL", "'2024-02-29 12:00:00.000001'", `"2024-02-29T10:00:00.000001Z"`},
		{"timestamp(3) NULL", "'2038-01-19 05:14:07.999'", `"2038-01-19T03:14:07.999Z"`},
		{"json", `'{"a": 12345678901234567890}'`, `"{\"a\": 12345678901234567890}"`},
		{"point", "ST_GeomFromText('POINT(1 2)')", `"SRID=0;POINT(1 2)"`},
		{"int AS (id * 2) VIRTUAL", "DEFAULT", `2`},
		{"int AS (id * 3) STORED", "DEFAULT", `3`},
	},
	"sqlite": {
		{"INTEGER", "9007199254740991", `9007199254740991`},
		{"INTEGER", "9007199254740992", `"9007199254740992"`},
		{"INTEGER", "-9223372036854775808", `"-9223372036854775808"`},
		{"INTEGER", "NULL", `null`},
		{"INTEGER", "'text'", `"text"`},
		{"REAL", "0.1", `0.1`},
		{"REAL", "0.1 + 0.2", `0.30000000000000004`},
		{"REAL", "1e300", `1.0e+300`},
		{"REAL", "-9e999", `"-Infinity"`},
		{"TEXT", `'quote " slash \ ' || char(10, 9, 1, 127) || ' é 😀 ''x'''`, "\"quote \\\" slash \\\\ \\n\\t\\u0001\u007f é 😀 'x'\""},
		{"TEXT", "''", `""`},
		{"BLOB", "X'00ff10'", `{"hex":"00FF10"}`},
		{"", "X''", `{"hex":""}`},
		{"BOOLEAN", "TRUE", `1`},
		{"JSON", `'{"a": 1}'`, `"{\"a\": 1}"`},
		{"INTEGER AS (id * 2)", "DEFAULT", `2`},
		{"INTEGER AS (id * 3) STORED", "DEFAULT", `3`},
	},
}

// TestTypes writes a row with a column of each type. The time zone and the
// formats of the session that writes must not be seen in the messages.
func TestTypes(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, db *connect.Database) {
		conn, err := db.SQL.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		run := func(query string) {
			t.Helper()
			if _, err := conn.ExecContext(t.Context(), query); err != nil {
				t.Fatalf("%s: %v", query, err)
			}
		}
		if db.Kind == "postgres" {
			run(`CREATE TYPE mood AS ENUM ('sad', 'so ''la la''')`)
			run(`CREATE DOMAIN positive AS integer CHECK (VALUE > 0)`)
			run(`CREATE DOMAIN small_big AS bigint`)
			run(`CREATE DOMAIN big AS small_big`)
			run(`CREATE TYPE pair AS (a integer, b text)`)
			run(`SET timezone = 'Asia/Tokyo'`)
			run(`SET datestyle = 'German'`)
			run(`SET intervalstyle = 'sql_standard'`)
			run(`SET bytea_output = 'escape'`)
			run(`SET extra_float_digits = -5`)
		}
		if db.Kind == "mysql" {
			run(`SET time_zone = '+02:00'`)
		}
		all := types[db.Kind]
		var columns, names, values []string
		for i, c := range all {
			name := "c" + string(rune('a'+i/26)) + string(rune('a'+i%26))
			columns = append(columns, name+" "+c.column)
			if c.value != "DEFAULT" {
				names, values = append(names, name), append(values, c.value)
			}
		}
		run(`CREATE TABLE typed (id INTEGER PRIMARY KEY, ` + strings.Join(columns, ", ") + `)`)
		install(t, db, admin.CaptureSpec{Table: "typed", Channel: "c"})
		insert := `INSERT INTO typed (id, ` + strings.Join(names, ", ") + `) VALUES (1, ` + strings.Join(values, ", ") + `)`
		run(insert)
		run(`DELETE FROM typed`)
		rows, err := conn.QueryContext(t.Context(), `SELECT payload FROM tidings_outbox ORDER BY position`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		n := 0
		for ; rows.Next(); n++ {
			var body []byte
			var p struct{ Old, New map[string]json.RawMessage }
			if err := rows.Scan(&body); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(body, &p); err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			if p.New == nil {
				p.New = p.Old
			}
			for i, c := range all {
				name := "c" + string(rune('a'+i/26)) + string(rune('a'+i%26))
				got := p.New[name]
				if !bytes.Equal(got, []byte(c.want)) && !(strings.HasPrefix(c.want, `"`) && sameText(got, c.want)) {
					t.Errorf("%s %s is %s, want %s", c.column, c.value, got, c.want)
				}
			}
		}
		if n != 2 {
			t.Errorf("%d messages", n)
		}
	})
}

func sameText(a []byte, b string) bool {
	var x, y string
	return json.Unmarshal(a, &x) == nil && json.Unmarshal([]byte(b), &y) == nil && x == y
}
