package binlog

import (
	"errors"
	"fmt"
	"strings"
)

// A column is how the values of a column are written in the log.
type column struct {
	kind byte
	meta int
}

// A table is one of ours as a table map of the log describes it.
type table struct {
	which   int // of tableNames
	columns []column
	// names are set where the server writes them.
	names []string
	at    layout
}

// tableID takes the number by which events refer to the map before them.
func tableID(r *reading) uint64 {
	id := r.uint(6)
	r.uint(2) // flags
	return id
}

// ours tells which of our tables a table map is about, or -1. r is behind the
// table's number, and then behind the names.
func ours(r *reading, database string, fold bool) int {
	schema := r.bytes(int(r.uint(1)))
	r.uint(1)
	name := r.bytes(int(r.uint(1)))
	r.uint(1)
	if string(schema) != database && (!fold || !strings.EqualFold(string(schema), database)) {
		return -1
	}
	for i, n := range tableNames {
		if string(name) == n || fold && strings.EqualFold(string(name), n) {
			return i
		}
	}
	return -1
}

// parseTable reads the rest of a table map of ours.
func parseTable(r *reading, which int) (*table, error) {
	t := &table{which: which}
	kinds := r.bytes(r.packed())
	meta := &reading{rest: r.bytes(r.packed())}
	r.bytes((len(kinds) + 7) / 8) // which may be NULL
	for _, kind := range kinds {
		t.columns = append(t.columns, parseColumn(kind, meta))
	}
	if err := errors.Join(r.err, meta.err); err != nil {
		return nil, fmt.Errorf("read the map of table %s: %w", tableNames[which], err)
	}
	// What follows is optional, and anything new may come there.
	for len(r.rest) > 0 {
		field, value := r.uint(1), r.bytes(r.packed())
		if r.err != nil {
			return nil, fmt.Errorf("read the map of table %s: %w", tableNames[which], r.err)
		}
		if field == fieldNames {
			v := &reading{rest: value}
			for len(v.rest) > 0 {
				t.names = append(t.names, string(v.bytes(v.packed())))
			}
			if v.err != nil || len(t.names) != len(t.columns) {
				return nil, fmt.Errorf("read the map of table %s: %d names of %d columns", tableNames[which], len(t.names), len(t.columns))
			}
		}
	}
	return t, nil
}

// fieldNames is the optional field with the names of the columns.
const fieldNames = 4

// locate sets where the columns are, and checks that they hold what ours hold:
// a wrong layout must not pass for a right one.
func (t *table) locate(l layout) error {
	for c, at := range l {
		name := tableNames[t.which] + "." + columnNames[c]
		optional := t.which == tableLog && c == columnPosition || c == columnKey || c == columnSubject ||
			c == columnContentType || c == columnHeaders
		if at < 0 && optional {
			continue
		}
		if at < 0 || int(at) >= len(t.columns) {
			return fmt.Errorf("the log has no column %s: restore it as the migrations made it", name)
		}
		if kind := t.columns[at].kind; strings.IndexByte(kindsOf[c], kind) < 0 {
			return fmt.Errorf("column %s has type %d in the log, which it never had: restore it as the migrations made it", name, kind)
		}
	}
	t.at = l
	return nil
}

// kindsOf are the types that a column may have.
var kindsOf = [columnCount]string{
	columnPosition:    string([]byte{kindLongLong, kindLong}),
	columnID:          texts,
	columnChannel:     texts,
	columnKey:         texts,
	columnType:        texts,
	columnSubject:     texts,
	columnContentType: texts,
	columnHeaders:     texts,
	columnPayload:     texts,
	columnCreatedAt:   string([]byte{kindDatetime2, kindTimestamp2}),
}
