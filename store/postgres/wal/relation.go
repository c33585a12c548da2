package wal

import (
	"fmt"
	"slices"

	"tidings.example/store/postgres"
)

// A relation tells what the columns of a table are. The server sends it before the
// first row, and again whenever the table was changed.
type relation struct {
	// ours is set for the tables of the outbox; logOnly for the one whose rows
	// were deleted in the transaction that inserted them.
	ours, logOnly bool
	// at is, for each column as it is sent, its index in postgres.Columns, or -1.
	at []int
	// odd says of columns that they have a type that cannot be decoded.
	odd []error
	// types are the oids of the columns' types.
	types []uint32
}

// The oids of the types that are understood.
const (
	typeBytea       = 17
	typeName        = 19
	typeInt8        = 20
	typeText        = 25
	typeJSON        = 114
	typeBPChar      = 1042
	typeVarchar     = 1043
	typeTimestamp   = 1114
	typeTimestamptz = 1184
	typeUUID        = 2950
	typeJSONB       = 3802
)

var texts = []uint32{typeText, typeVarchar, typeBPChar, typeName, typeJSON}

// acceptable are the types that a column may have, besides texts.
func acceptable(column string, oid uint32) bool {
	switch column {
	case "position":
		return oid == typeInt8
	case "payload":
		return oid == typeBytea
	case "created_at":
		return oid == typeTimestamptz || oid == typeTimestamp
	case "id":
		return oid == typeUUID || slices.Contains(texts, oid)
	case "headers":
		return oid == typeJSONB || slices.Contains(texts, oid)
	}
	return slices.Contains(texts, oid)
}

// The tables, in the schema of the outbox.
const (
	table    = "tidings_outbox"
	logTable = "tidings_outbox_log"
)

// relation reads the message Relation.
func (d *decoder) relation(w *wire) error {
	oid := w.uint32()
	schema, name := w.text(), w.text()
	w.byte() // replica identity
	n := w.uint16()
	if schema == "" {
		schema = "pg_catalog"
	}
	r := &relation{ours: string(schema) == d.schema && (string(name) == table || string(name) == logTable), logOnly: string(name) == logTable}
	for range n {
		w.byte() // flags
		column := w.text()
		typ := w.uint32()
		w.uint32() // modifier
		if w.short {
			break
		}
		at := slices.Index(postgres.Columns[:], string(column))
		var odd error
		if at >= 0 && !acceptable(string(column), typ) {
			odd = fmt.Errorf("column %s has a type (oid %d) that it must not have", column, typ)
		}
		r.at, r.odd, r.types = append(r.at, at), append(r.odd, odd), append(r.types, typ)
	}
	if w.short {
		return errShort
	}
	if d.relations == nil {
		d.relations = map[uint32]*relation{}
	}
	d.relations[oid] = r
	return nil
}
