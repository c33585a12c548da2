package capture

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

// The bounds of what a message carries, in bytes; see docs/formats/capture.md.
const (
	// MaxMessage is below what brokers take without being told otherwise.
	MaxMessage = 900_000
	// A value of the key is only left out above this.
	keyLimit = 4096
)

// Limits are tried one after the other until the message is no longer than
// MaxMessage: a value that is longer is left out.
var Limits = []int{256 << 10, 4096, 0}

// A Dialect is one database's SQL. row is NEW or OLD.
type Dialect interface {
	// Install returns the statements that install a plan.
	Install(p *Plan) []string
	// String is a text literal.
	String(s string) string
	// Concat joins expressions of text, none of which is NULL.
	Concat(parts []string) string
	// If is one of two expressions; only the chosen one is evaluated.
	If(condition, yes, no string) string
	// JSON is the column's value as the text of a JSON value, never NULL.
	JSON(c Column, row string) string
	// Text is the value as a key has it, NULL for NULL.
	Text(c Column, row string) string
	// Size is the length of the value in bytes, or "" if it cannot be long.
	Size(c Column, row string) string
	// Key bounds a key: it must be 1 to 255 bytes without control characters.
	Key(text string) string
	// Limit names the current limit.
	Limit() string
}

// A Message is one that a trigger writes.
type Message struct {
	// Type is the type on the wire, Payload an expression that depends on the
	// dialect's limit, and Key one that may be NULL.
	Type, Payload, Key string
}

// Inserted, Updated and Deleted are the messages of the operations.
func (p *Plan) Inserted() Message { return p.message("insert", ".inserted", "NEW", "", "NEW", false) }

// Updated is the message of an update that leaves the key as it is.
func (p *Plan) Updated() Message { return p.message("update", ".updated", "NEW", "OLD", "NEW", false) }

// Deleted is the message of a delete.
func (p *Plan) Deleted() Message { return p.message("delete", ".deleted", "OLD", "OLD", "", false) }

// Moved are the messages of an update that changes the key: the row goes away
// under its old key, and appears under the new one.
func (p *Plan) Moved() [2]Message {
	return [2]Message{p.message("delete", ".deleted", "OLD", "OLD", "", true), p.message("insert", ".inserted", "NEW", "", "NEW", true)}
}

// Truncated is the message for a table that was emptied at once.
func (p *Plan) Truncated() Message { return p.message("truncate", ".truncated", "", "", "", false) }

func (p *Plan) message(op, suffix, keyRow, oldRow, newRow string, moved bool) Message {
	d := p.dialect
	m := Message{Type: p.Spec.Type + suffix, Key: "NULL"}
	if keyRow != "" {
		m.Key = p.KeyOf(keyRow)
	}
	head := `{"op":` + quote(op) + `,"schema":` + quote(p.Spec.Schema) + `,"table":` + quote(p.Spec.Table) + `,"columns":` + quote(p.Version())
	if moved {
		head += `,"keyChanged":true`
	}
	parts := []string{d.String(head + `,"old":`)}
	parts = append(parts, p.object(oldRow)...)
	parts = append(parts, d.String(`,"new":`))
	parts = append(parts, p.object(newRow)...)
	var omitted []string
	for _, image := range []struct{ row, name string }{{oldRow, "old"}, {newRow, "new"}} {
		for _, c := range p.columns {
			if image.row == "" || d.Size(c, image.row) == "" {
				continue
			}
			omitted = append(omitted, d.If(p.tooLong(c, image.row), d.String(","+quote(image.name+"."+c.Name)), d.String("")))
		}
	}
	if len(omitted) > 0 {
		list := d.Concat(omitted)
		any := list + " <> ''"
		parts = append(parts, d.If(any, d.Concat([]string{d.String(`,"omitted":[`), "SUBSTR(" + list + ", 2)", d.String("]")}), d.String("")))
	}
	m.Payload = d.Concat(append(parts, d.String("}")))
	return m
}

// object is a row as a JSON object.
func (p *Plan) object(row string) []string {
	d := p.dialect
	if row == "" {
		return []string{d.String("null")}
	}
	var members []string
	for _, c := range p.columns {
		member := d.Concat([]string{d.String("," + quote(c.Name) + ":"), d.JSON(c, row)})
		if d.Size(c, row) != "" {
			member = d.If(p.tooLong(c, row), d.String(""), member)
		}
		members = append(members, member)
	}
	return []string{d.String("{"), "SUBSTR(" + d.Concat(members) + ", 2)", d.String("}")}
}

func (p *Plan) tooLong(c Column, row string) string {
	limit := p.dialect.Limit()
	if slices.Contains(p.Key, c.Name) {
		limit = "(CASE WHEN " + limit + " > " + strconv.Itoa(keyLimit) + " THEN " + limit + " ELSE " + strconv.Itoa(keyLimit) + " END)"
	}
	return p.dialect.Size(c, row) + " > " + limit
}

// KeyOf is the message key of a row.
func (p *Plan) KeyOf(row string) string {
	d := p.dialect
	if len(p.key) == 1 {
		return d.Key(d.Text(p.key[0], row))
	}
	parts := []string{d.String("[")}
	for i, c := range p.key {
		if i > 0 {
			parts = append(parts, d.String(","))
		}
		parts = append(parts, d.JSON(c, row))
	}
	return d.Key(d.Concat(append(parts, d.String("]"))))
}

// Balanced joins parts with an operator, as a tree that is not deep.
func Balanced(parts []string, operator string) string {
	switch len(parts) {
	case 0:
		return "''"
	case 1:
		return parts[0]
	}
	half := len(parts) / 2
	return "(" + Balanced(parts[:half], operator) + " " + operator + " " + Balanced(parts[half:], operator) + ")"
}

// quote is a JSON string.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}
