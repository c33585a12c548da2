package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"

	"tidings.example/relay"
	"tidings.example/store/postgres"
)

// decoder turns messages of pgoutput into rows. It keeps track of where they are.
type decoder struct {
	schema    string // of the outbox
	relations map[uint32]*relation
	rows      postgres.RowDecoder

	// at is behind the last row.
	at position
	// skip is how many rows of the next transaction with rows were read before.
	skip uint64
	// inside is set between Begin and Commit, whose time is committed.
	inside    bool
	committed int64

	columns [len(postgres.Columns)][]byte
	scratch [2][8]byte // position and time, where they come as text
}

// An event is what a message turned out to be.
type event int

const (
	nothing event = iota
	aRow
	aCommit
)

var zeroPosition = make([]byte, 8)

// take decodes one message, of which cut bytes are missing at the end. The row
// keeps nothing of the message.
func (d *decoder) take(message []byte, cut int) (event, relay.Row, error) {
	w := &wire{rest: message}
	switch kind := w.byte(); kind {
	case 'I':
		return d.insert(w, cut)
	case 'B':
		if d.inside {
			return nothing, relay.Row{}, errors.New("the log has a transaction within a transaction")
		}
		w.uint64() // where the commit record begins
		d.committed = int64(w.uint64())
		d.inside = !w.short
	case 'C':
		w.bytes(1 + 8) // flags, where the commit record begins
		end := pglogrepl.LSN(w.uint64())
		if w.short {
			break
		}
		if !d.inside {
			return nothing, relay.Row{}, errors.New("the log has a commit outside a transaction")
		}
		d.inside = false
		return d.commit(end)
	case 'R':
		if cut == 0 {
			return nothing, relay.Row{}, d.relation(w)
		}
	case 'M':
		return d.emitted(w, cut)
	}
	if w.short {
		return nothing, relay.Row{}, errShort
	}
	// Other kinds, which later versions may add, are no rows.
	return nothing, relay.Row{}, nil
}

func (d *decoder) commit(end pglogrepl.LSN) (event, relay.Row, error) {
	if end <= d.at.lsn {
		return nothing, relay.Row{}, fmt.Errorf("the log goes back from %s to %s", d.at.lsn, end)
	}
	if d.skip > 0 && d.at.rows > 0 {
		return nothing, relay.Row{}, fmt.Errorf("the transaction at %s has %d rows, and %d more were read of it before", d.at.lsn, d.at.rows, d.skip)
	}
	if d.at.rows == 0 && d.skip > 0 {
		// Without rows it is none that the position counts; what is skipped comes later.
		d.at.lsn = end
		return nothing, relay.Row{}, nil
	}
	d.at = position{lsn: end}
	return aCommit, relay.Row{}, nil
}

// counted notes one more row, and reports whether it was read before.
func (d *decoder) counted() (before bool) {
	d.at.rows++
	if d.skip > 0 {
		d.skip--
		return true
	}
	return false
}

func (d *decoder) insert(w *wire, cut int) (event, relay.Row, error) {
	oid := w.uint32()
	r := d.relations[oid]
	switch kind := w.byte(); {
	case w.short:
		return nothing, relay.Row{}, errShort
	case r == nil:
		return nothing, relay.Row{}, fmt.Errorf("the log has a row of table %d without its columns", oid)
	case kind != 'N':
		return nothing, relay.Row{}, fmt.Errorf("the log has a row that begins with %q", kind)
	case !d.inside:
		return nothing, relay.Row{}, errors.New("the log has a row outside a transaction")
	case !r.ours:
		return nothing, relay.Row{}, nil
	}
	if d.counted() {
		return nothing, relay.Row{}, nil
	}
	odd, err := d.tuple(w, r, cut)
	if err != nil {
		return nothing, relay.Row{}, err
	}
	if r.logOnly {
		d.columns[0] = zeroPosition
	} else if len(d.columns[0]) != 8 {
		d.columns[0] = zeroPosition
		odd = errors.New("column position is missing")
	}
	row := d.rows.Row(d.columns[:])
	if odd != nil && row.Err == nil {
		row.Raw = raw(d.columns[:])
	}
	if odd != nil {
		row.Err = odd
	}
	return aRow, row, nil
}

// tuple finds the columns by their names. odd is the first that is not as it must be.
func (d *decoder) tuple(w *wire, r *relation, cut int) (odd, err error) {
	clear(d.columns[:])
	n := w.uint16()
	if n > len(r.at) {
		return nil, fmt.Errorf("the log has a row of %d columns in a table of %d", n, len(r.at))
	}
	for i := range n {
		format := w.byte()
		var value []byte
		switch format {
		case 'n', 'u':
		case 't', 'b':
			length := int(w.uint32())
			if w.short {
				break
			}
			if missing := length - len(w.rest); missing > 0 && missing <= cut {
				// Only a payload can be as long as that.
				cut -= missing
				w.rest = nil
				if at := r.at[i]; at >= 0 {
					return fmt.Errorf("column %s has %d bytes, more than a message may have", postgres.Columns[at], length), nil
				}
				return errors.New("the row is longer than a message may be"), nil
			}
			value = w.bytes(length)
			if value == nil && !w.short {
				value = []byte{}
			}
		default:
			if !w.short {
				return nil, fmt.Errorf("the log has a column of kind %q", format)
			}
		}
		if w.short {
			if cut > 0 {
				return errors.New("the row is longer than a message may be"), nil
			}
			return nil, errShort
		}
		at := r.at[i]
		if at < 0 || value == nil {
			continue
		}
		bad := r.odd[i]
		if bad == nil {
			if value, err = binaryOf(r.types[i], format, value, d.scratchFor(at)); err != nil {
				bad = fmt.Errorf("column %s %w", postgres.Columns[at], err)
			}
		}
		if d.columns[at] = value; bad != nil && odd == nil {
			odd = bad
		}
	}
	return odd, nil
}

func (d *decoder) scratchFor(column int) []byte {
	if column == 0 {
		return d.scratch[0][:0]
	}
	return d.scratch[1][:0]
}

func raw(columns [][]byte) [][]byte {
	copied := make([][]byte, len(columns))
	for i, v := range columns {
		if v != nil {
			copied[i] = append([]byte{}, v...)
		}
	}
	return copied
}

// emitted reads a message of pg_logical_emit_message. Those outside a transaction
// are there though theirs may have been rolled back: they are no rows.
func (d *decoder) emitted(w *wire, cut int) (event, relay.Row, error) {
	transactional := w.byte()&1 == 1
	lsn := pglogrepl.LSN(w.uint64())
	prefix := w.text()
	length := int(w.uint32())
	if w.short {
		return nothing, relay.Row{}, errShort
	}
	if !transactional || prefix != postgres.EmittedPrefix {
		return nothing, relay.Row{}, nil
	}
	if !d.inside {
		return nothing, relay.Row{}, errors.New("the log has a transactional message outside a transaction")
	}
	if length != len(w.rest)+cut {
		return nothing, relay.Row{}, errShort
	}
	if d.counted() {
		return nothing, relay.Row{}, nil
	}
	columns, odd := postgres.DecodeEmitted(w.rest, lsn.String(), d.committed)
	row := d.rows.Row(columns)
	if odd == nil && cut > 0 {
		odd = fmt.Errorf("column payload has %d bytes, more than a message may have", length)
	}
	if odd != nil {
		if row.Raw == nil {
			row.Raw = raw(columns)
		}
		row.Err = odd
	}
	return aRow, row, nil
}

// timeOf converts the time of a commit.
func timeOf(micros int64) time.Time { return time.UnixMicro(micros + microsToYear2000).UTC() }

// keepalive reads the message in which the server tells how far it has read the log.
func keepalive(b []byte) (end pglogrepl.LSN, reply, ok bool) {
	if len(b) != 17 {
		return 0, false, false
	}
	return pglogrepl.LSN(binary.BigEndian.Uint64(b)), b[16] != 0, true
}
