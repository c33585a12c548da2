package capture

import (
	"fmt"
	"strings"
)

// SQLite is the dialect of SQLite. Its values have types, its columns do not.
type SQLite struct{}

// Names of what the triggers use.
const limitName = "tidings_limit"

// SQLiteName is the name of the trigger of an operation.
func SQLiteName(table, op string) string { return Name("main", table, op) }

// Install returns one statement for each trigger.
func (SQLite) Install(p *Plan) []string {
	var all []string
	trigger := func(op string, inserts ...string) {
		if p.Captures(op) {
			all = append(all, fmt.Sprintf("CREATE TRIGGER %s AFTER %s ON %s FOR EACH ROW BEGIN\n/* %s */\n%s;\nEND",
				DoubleQuoted(SQLiteName(p.Spec.Table, op)), strings.ToUpper(op), DoubleQuoted(p.Spec.Table), p.Mark(), strings.Join(inserts, ";\n")))
		}
	}
	trigger("insert", sqliteInsert(p, p.Inserted(), ""))
	was, is := p.KeyOf("OLD"), p.KeyOf("NEW")
	moved := p.Moved()
	trigger("update",
		sqliteInsert(p, p.Updated(), was+" IS "+is),
		sqliteInsert(p, moved[0], was+" IS NOT "+is),
		sqliteInsert(p, moved[1], was+" IS NOT "+is))
	trigger("delete", sqliteInsert(p, p.Deleted(), ""))
	return all
}

// sqliteInsert takes the first limit whose message is short enough: SQLite reads
// the limits in the order in which they stand here.
func sqliteInsert(p *Plan, m Message, when string) string {
	var limits []string
	for i, limit := range Limits {
		s := fmt.Sprintf("SELECT %d", limit)
		if i == 0 {
			s += " AS " + limitName
		}
		limits = append(limits, s)
	}
	where := fmt.Sprintf("(LENGTH(CAST(payload AS BLOB)) <= %d OR %s = 0)", MaxMessage, limitName)
	if when != "" {
		where = when + " AND " + where
	}
	d := p.dialect
	return fmt.Sprintf("INSERT INTO tidings_outbox (channel, message_key, type, payload)\nSELECT %s, %s, %s, CAST(payload AS BLOB) FROM (SELECT %s, %s AS payload FROM (%s))\nWHERE %s LIMIT 1",
		d.String(p.Spec.Channel), m.Key, d.String(m.Type), limitName, m.Payload, strings.Join(limits, " UNION ALL "), where)
}

// String is a text literal.
func (SQLite) String(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// Concat joins in a tree: SQLite bounds the depth of expressions.
func (SQLite) Concat(parts []string) string { return Balanced(parts, "||") }

// If is a CASE.
func (SQLite) If(condition, yes, no string) string {
	return "CASE WHEN " + condition + " THEN " + yes + " ELSE " + no + " END"
}

// JSON goes by the value. A whole number is a string where JavaScript would
// round it; a fraction has as many digits as give the same number again; bytes
// are an object, so that they differ from text.
func (SQLite) JSON(c Column, row string) string {
	v := row + "." + DoubleQuoted(c.Name)
	return strings.ReplaceAll(`CASE TYPEOF(?) WHEN 'null' THEN 'null' WHEN 'text' THEN JSON_QUOTE(?) `+
		`WHEN 'integer' THEN CASE WHEN ? BETWEEN -9007199254740991 AND 9007199254740991 THEN CAST(? AS TEXT) ELSE '"'||?||'"' END `+
		`WHEN 'real' THEN CASE WHEN ? IN (9e999, -9e999) THEN CASE WHEN ? > 0 THEN '"Infinity"' ELSE '"-Infinity"' END ELSE `+sqliteReal+` END `+
		`ELSE '{"hex":"'||HEX(?)||'"}' END`, "?", v)
}

const sqliteReal = `CASE WHEN CAST(PRINTF('%!.15g', ?) AS REAL) = ? THEN PRINTF('%!.15g', ?) ELSE PRINTF('%!.17g', ?) END`

// Text is the value as a key has it.
func (SQLite) Text(c Column, row string) string {
	v := row + "." + DoubleQuoted(c.Name)
	return strings.ReplaceAll(`CASE TYPEOF(?) WHEN 'null' THEN NULL WHEN 'blob' THEN HEX(?) WHEN 'real' THEN `+sqliteReal+` ELSE CAST(? AS TEXT) END`, "?", v)
}

// Size is that of text and bytes.
func (SQLite) Size(c Column, row string) string {
	v := row + "." + DoubleQuoted(c.Name)
	return "CASE WHEN TYPEOF(" + v + ") IN ('text', 'blob') THEN LENGTH(CAST(" + v + " AS BLOB)) ELSE 0 END"
}

// Key takes the beginning of a long key: SQLite has no hash function, and keys
// that begin alike only share their order.
func (SQLite) Key(text string) string {
	bytes := "CAST(" + text + " AS BLOB)"
	return "CASE WHEN " + bytes + " IS NULL THEN NULL" +
		" WHEN LENGTH(" + bytes + ") BETWEEN 1 AND 255 AND " + text + " NOT GLOB '*[' || CHAR(1) || '-' || CHAR(31) || CHAR(127) || ']*' AND INSTR(" + bytes + ", X'00') = 0 THEN " + text +
		" ELSE 'prefix:' || LENGTH(" + bytes + ") || ':' || LOWER(HEX(SUBSTR(" + bytes + ", 1, 100))) END"
}

// Limit is a column of the query.
func (SQLite) Limit() string { return limitName }

// DoubleQuoted is a name as standard SQL quotes it.
func DoubleQuoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
