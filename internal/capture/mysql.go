package capture

import (
	"fmt"
	"strconv"
	"strings"
)

// MySQL is the dialect of MySQL and MariaDB. Home is the database of Tidings' tables.
type MySQL struct{ Home string }

// Install returns one statement for each trigger. They run with the rights of
// who installs them: the service needs no new right.
func (d MySQL) Install(p *Plan) []string {
	var all []string
	trigger := func(op, body string) {
		if !p.Captures(op) {
			return
		}
		all = append(all, fmt.Sprintf("CREATE TRIGGER %s.%s AFTER %s ON %s.%s FOR EACH ROW BEGIN\nDECLARE tidings_settings TEXT DEFAULT '%s';\nDECLARE tidings_limit INT;\nDECLARE tidings_payload LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;\n%sEND",
			Backquoted(p.Spec.Schema), Backquoted(d.Trigger(p.Spec.Schema, p.Spec.Table, op)), strings.ToUpper(op), Backquoted(p.Spec.Schema), Backquoted(p.Spec.Table), p.Mark(), body))
	}
	trigger("insert", d.emit(p, p.Inserted()))
	moved := p.Moved()
	trigger("update", "IF CAST("+p.KeyOf("OLD")+" AS BINARY) <=> CAST("+p.KeyOf("NEW")+" AS BINARY) THEN\n"+d.emit(p, p.Updated())+
		"ELSE\n"+d.emit(p, moved[0])+d.emit(p, moved[1])+"END IF;\n")
	trigger("delete", d.emit(p, p.Deleted()))
	return all
}

// Trigger is the name of the trigger of an operation.
func (MySQL) Trigger(schema, table, op string) string { return Name(schema, table, op) }

// emit tries the limits in turn. A text that is longer than max_allowed_packet is NULL.
func (d MySQL) emit(p *Plan, m Message) string {
	next := strconv.Itoa(Limits[len(Limits)-1])
	for i := len(Limits) - 2; i >= 0; i-- {
		if i == len(Limits)-2 {
			continue
		}
		next = fmt.Sprintf("IF(tidings_limit = %d, %d, %s)", Limits[i], Limits[i+1], next)
	}
	return fmt.Sprintf(`SET tidings_limit = %d;
tidings_fit: LOOP
SET tidings_payload = %s;
IF tidings_limit = 0 OR OCTET_LENGTH(tidings_payload) <= %d THEN LEAVE tidings_fit; END IF;
SET tidings_limit = %s;
END LOOP;
INSERT INTO %s.tidings_outbox (channel, message_key, type, payload) VALUES (%s, %s, %s, tidings_payload);
`, Limits[0], m.Payload, MaxMessage, next, Backquoted(d.Home), d.String(p.Spec.Channel), m.Key, d.String(m.Type))
}

// String is a literal; the triggers' sql_mode has backslashes as escapes.
func (MySQL) String(s string) string {
	return "_utf8mb4'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(s) + "'"
}

// Concat is a function.
func (MySQL) Concat(parts []string) string { return "CONCAT(" + strings.Join(parts, ", ") + ")" }

// If is a CASE.
func (MySQL) If(condition, yes, no string) string { return SQLite{}.If(condition, yes, no) }

func (MySQL) text(v string) string {
	return "CONVERT(" + v + " USING utf8mb4) COLLATE utf8mb4_bin"
}

// raw is the value as text, and whether it is a JSON value as it is.
func (d MySQL) raw(c Column, v string) (text string, plain bool) {
	char := func(v string) string { return "CAST(" + v + " AS CHAR CHARACTER SET utf8mb4) COLLATE utf8mb4_bin" }
	switch c.Kind {
	case "tinyint", "smallint", "mediumint", "int", "year":
		return char(v + " + 0"), true
	case "float", "double": // a float would be cut to six digits
		return char("(" + v + " + 0e0)"), true
	case "bigint", "decimal", "date", "time":
		return char(v), false
	case "datetime":
		return "REPLACE(" + char(v) + ", ' ', 'T')", false
	case "timestamp":
		// Independent of the session's time zone, also in the hour that a clock runs twice.
		seconds := "UNIX_TIMESTAMP(" + v + ")"
		at := "DATE_ADD(CAST('1970-01-01' AS DATETIME(" + strconv.Itoa(c.Digits) + ")), INTERVAL " + seconds + " SECOND)"
		length := 19
		if c.Digits > 0 {
			length += 1 + c.Digits
		}
		return "CASE WHEN " + seconds + " = 0 THEN '0000-00-00T00:00:00Z' ELSE CONCAT(LEFT(DATE_FORMAT(" + at + ", '%Y-%m-%dT%H:%i:%s.%f'), " + strconv.Itoa(length) + "), 'Z') END COLLATE utf8mb4_bin", false
	case "bit":
		return "LPAD(BIN(" + v + " + 0), " + strconv.Itoa(c.Digits) + ", '0') COLLATE utf8mb4_bin", false
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector":
		return "REPLACE(TO_BASE64(" + v + "), '\\n', '') COLLATE utf8mb4_bin", false
	case "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		return "CONCAT('SRID=', ST_SRID(" + v + "), ';', ST_AsText(" + v + ")) COLLATE utf8mb4_bin", false
	case "json", "uuid", "inet4", "inet6":
		return char(v), false
	}
	return d.text(v), false
}

// JSON goes by the type.
func (d MySQL) JSON(c Column, row string) string {
	v := row + "." + Backquoted(c.Name)
	text, plain := d.raw(c, v)
	if plain {
		return "CASE WHEN " + v + " IS NULL THEN 'null' ELSE " + text + " END"
	}
	return "CASE WHEN " + v + " IS NULL THEN 'null' ELSE JSON_QUOTE(" + text + ") END"
}

// Text is the value as a key has it.
func (d MySQL) Text(c Column, row string) string {
	text, _ := d.raw(c, row+"."+Backquoted(c.Name))
	return text
}

// Size is in bytes of UTF-8, or those of binary values.
func (d MySQL) Size(c Column, row string) string {
	v := row + "." + Backquoted(c.Name)
	switch c.Kind {
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext", "json", "set":
		return "OCTET_LENGTH(CONVERT(" + v + " USING utf8mb4))"
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector",
		"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		return "OCTET_LENGTH(" + v + ")"
	}
	return ""
}

// Key uses a hash where the text cannot be a key.
func (MySQL) Key(text string) string {
	return "CASE WHEN (" + text + ") IS NULL THEN NULL WHEN OCTET_LENGTH(" + text + ") BETWEEN 1 AND 255 AND (" + text + ") NOT REGEXP '[[:cntrl:]]' THEN " + text +
		" ELSE CONCAT('sha256:', SHA2(" + text + ", 256)) END"
}

// Limit is a variable.
func (MySQL) Limit() string { return limitName }

// Backquoted is a name as MySQL quotes it.
func Backquoted(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
