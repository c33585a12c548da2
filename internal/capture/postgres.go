package capture

import (
	"fmt"
	"strings"
)

// Postgres is the dialect of PostgreSQL. Home is the schema of Tidings' tables.
type Postgres struct{ Home string }

// PostgresTrigger begins the names of the triggers on a user's table.
const PostgresTrigger = "tidings_capture"

// Function is the qualified and quoted name of a table's trigger function.
func (d Postgres) Function(schema, table string) string {
	return DoubleQuoted(d.Home) + "." + DoubleQuoted(Name(schema, table, "row"))
}

// Install makes one function and the triggers that call it. The function runs
// with the rights of its owner, who may append to the outbox: the service needs
// no new right. Everything in it is qualified, and its search_path is fixed.
//
// The condition of the row trigger is always true. It names the columns, so that
// PostgreSQL refuses to drop one that the function reads, and does not let
// the service's next change fail.
func (d Postgres) Install(p *Plan) []string {
	function := d.Function(p.Spec.Schema, p.Spec.Table)
	table := DoubleQuoted(p.Spec.Schema) + "." + DoubleQuoted(p.Spec.Table)
	body := "-- " + p.Mark() + "\nDECLARE\n    tidings_limit integer;\n    tidings_payload text;\nBEGIN\n"
	word := "IF"
	branch := func(op, inner string) {
		body += "    " + word + " TG_OP = '" + op + "' THEN\n" + inner
		word = "ELSIF"
	}
	var events []string
	if p.Captures("insert") {
		branch("INSERT", d.emit(p, p.Inserted()))
		events = append(events, "INSERT")
	}
	if p.Captures("update") {
		moved := p.Moved()
		// In parentheses: the first THEN outside of any ends the condition.
		branch("UPDATE", "    IF ("+p.KeyOf("OLD")+` COLLATE pg_catalog."C" IS NOT DISTINCT FROM `+p.KeyOf("NEW")+` COLLATE pg_catalog."C") THEN`+"\n"+
			d.emit(p, p.Updated())+"    ELSE\n"+d.emit(p, moved[0])+d.emit(p, moved[1])+"    END IF;\n")
		events = append(events, "UPDATE")
	}
	if p.Captures("delete") {
		branch("DELETE", d.emit(p, p.Deleted()))
		branch("TRUNCATE", d.emit(p, p.Truncated()))
		events = append(events, "DELETE")
	}
	body += "    END IF;\n    RETURN NULL;\nEND"
	all := []string{
		// One that a dropped table has left. It fails where a table that has
		// been renamed uses it: replaced, it would send that table's rows under
		// this one's name.
		"DROP FUNCTION IF EXISTS " + function + "()",
		"CREATE FUNCTION " + function + "() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER\n" +
			"SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'iso_8601' SET extra_float_digits = 1\n" +
			"AS " + d.String(body),
		"REVOKE ALL ON FUNCTION " + function + "() FROM PUBLIC",
	}
	// An event of its own for each: a condition may only name the rows that its event has.
	for _, event := range events {
		row := "NEW"
		if event == "DELETE" {
			row = "OLD"
		}
		condition := []string{"true"}
		for _, c := range append(p.columns[:len(p.columns):len(p.columns)], p.key...) {
			condition = append(condition, "("+row+"."+DoubleQuoted(c.Name)+" IS NULL)")
		}
		all = append(all, fmt.Sprintf("CREATE TRIGGER %s AFTER %s ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION %s()",
			PostgresTrigger+"_"+strings.ToLower(event), event, table, strings.Join(condition, " OR "), function))
	}
	if p.Captures("delete") {
		all = append(all, fmt.Sprintf("CREATE TRIGGER %s_truncate AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s()", PostgresTrigger, table, function))
	}
	return all
}

func (d Postgres) emit(p *Plan, m Message) string {
	var limits []string
	for _, l := range Limits {
		limits = append(limits, fmt.Sprint(l))
	}
	return fmt.Sprintf(`        FOREACH tidings_limit IN ARRAY ARRAY[%s] LOOP
            tidings_payload := %s;
            EXIT WHEN octet_length(tidings_payload) <= %d;
        END LOOP;
        INSERT INTO %s.tidings_outbox (channel, message_key, type, payload)
        VALUES (%s, %s, %s, convert_to(tidings_payload, 'UTF8'));
`, strings.Join(limits, ", "), m.Payload, MaxMessage, DoubleQuoted(d.Home), d.String(p.Spec.Channel), m.Key, d.String(m.Type))
}

// String is a literal that means the same whatever standard_conforming_strings is.
func (Postgres) String(s string) string {
	quoted := strings.ReplaceAll(s, "'", "''")
	if strings.Contains(s, `\`) {
		return " E'" + strings.ReplaceAll(quoted, `\`, `\\`) + "'"
	}
	return "'" + quoted + "'"
}

// Concat joins in a tree.
func (Postgres) Concat(parts []string) string {
	if len(parts) == 1 {
		return "(" + parts[0] + " || '')"
	}
	return Balanced(parts, "||")
}

// If is a CASE.
func (Postgres) If(condition, yes, no string) string { return SQLite{}.If(condition, yes, no) }

// value is the JSON of one that is not NULL.
func (d Postgres) value(c Column, v string) string {
	switch c.Kind {
	case "bool", "int2", "int4", "oid", "float4", "float8":
		return "to_json(" + v + ")::text"
	case "date", "timestamp", "timestamptz":
		return "to_json(" + v + ")::text"
	case "_bool", "_int2", "_int4", "_float4", "_float8", "_date", "_timestamp", "_timestamptz":
		return "to_json(" + v + ")::text"
	case "money": // without the currency of the session
		return "to_json(" + v + "::numeric::text)::text"
	case "bytea":
		return `'"' || ` + d.base64(v) + ` || '"'`
	}
	if strings.HasPrefix(c.Kind, "_") && c.Kind != "_" { // other arrays: of text
		return "to_json(" + v + "::text[])::text"
	}
	return "to_json(format('%s', " + v + "))::text"
}

func (Postgres) base64(v string) string { return "translate(encode(" + v + ", 'base64'), E'\\n', '')" }

// JSON goes by the type; the server's own text of what JSON has no type for.
func (d Postgres) JSON(c Column, row string) string {
	v := row + "." + DoubleQuoted(c.Name)
	return "CASE WHEN " + v + " IS NULL THEN 'null' ELSE " + d.value(c, v) + " END"
}

// Text is the JSON without quotes.
func (d Postgres) Text(c Column, row string) string {
	v := row + "." + DoubleQuoted(c.Name)
	switch c.Kind {
	case "bytea":
		return d.base64(v)
	case "money":
		return "(" + v + "::numeric::text)"
	case "bool", "int2", "int4", "oid", "float4", "float8", "date", "timestamp", "timestamptz":
		return "(to_json(" + v + ") #>> '{}')"
	}
	if strings.HasPrefix(c.Kind, "_") && c.Kind != "_" {
		return "(" + d.value(c, v) + ")"
	}
	return "CASE WHEN " + v + " IS NOT DISTINCT FROM NULL THEN NULL ELSE format('%s', " + v + ") END"
}

// Size is that of the text, or of the bytes.
func (Postgres) Size(c Column, row string) string {
	v := row + "." + DoubleQuoted(c.Name)
	switch c.Kind {
	case "bool", "int2", "int4", "int8", "oid", "float4", "float8", "date", "time", "timetz", "timestamp", "timestamptz", "interval", "uuid",
		"money", "inet", "cidr", "macaddr", "macaddr8", "point", "box", "lseg", "line", "circle":
		return ""
	case "bytea", "text", "varchar", "bpchar":
		return "octet_length(" + v + ")"
	}
	return "octet_length(format('%s', " + v + "))"
}

// Key uses a hash where the text cannot be a key.
func (Postgres) Key(text string) string {
	return "CASE WHEN " + text + " IS NULL THEN NULL" +
		" WHEN octet_length(convert_to(" + text + `, 'UTF8')) BETWEEN 1 AND 255 AND ` + text + ` COLLATE pg_catalog."C" !~ E'[\\x01-\\x1f\\x7f]' THEN ` + text +
		" ELSE 'sha256:' || encode(sha256(convert_to(" + text + ", 'UTF8')), 'hex') END"
}

// Limit is a variable.
func (Postgres) Limit() string { return limitName }
