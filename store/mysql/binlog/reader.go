package binlog

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/go-mysql-org/go-mysql/replication"

	"tidings.example/relay"
)

const (
	// Rows of a transaction that is not larger than this wait for its end, in
	// case it ends in a rollback; of a larger one they are handed over before.
	wholeBytes = 1 << 20
	// Rows of transactions that are prepared (XA) must wait for their commit.
	preparedBytes = 64 << 20
)

// A lostError says that the log cannot be read on from where it was, whoever
// tries: only the table has the rows.
type lostError struct{ why string }

func (e *lostError) Error() string { return e.why }

// Is makes it a relay.ErrLogLost.
func (e *lostError) Is(target error) bool { return target == relay.ErrLogLost }

// reader follows the events of a stream, in the stream's goroutine.
type reader struct {
	source *Source
	out    *buffer
	// lookUp finds out where the columns of a table are, at the place of the log
	// where the reader is.
	lookUp func(which int) (layout, error)
	decode decoder
	// lookOnly is set where rows are of no interest.
	lookOnly bool

	file    string
	at      int64 // where the last event ended
	created int64 // when the server began to write the file, in seconds since 1970; 0 until it says so
	log     int64 // bytes read
	columns layouts

	// maps are the tables that rows may follow of; last is the newest map's bytes.
	maps    map[uint64]*table
	lastMap [tableCount][]byte
	lastOf  [tableCount]*table
	sources map[[16]byte]string

	tx       tx
	prepared map[string]entry // XA, by the text of their id
	held     int              // bytes in prepared
	waiting  *entry           // the place that is reached, but for prepared transactions
}

// tx is the transaction whose events are being read.
type tx struct {
	gtid       gtid
	open       bool // behind BEGIN
	standalone bool // one event, which is not in a transaction
	xa         bool // ends prepared
	micros     int64
	rows       []relay.Row // in memory that is used again
	bytes      int
	marks      map[string]int // savepoints: how many rows were there
	sent       int            // rows that were handed over already
}

func (r *reader) handle(e *replication.BinlogEvent) error {
	h := e.Header
	kind := h.EventType
	if h.LogPos > 0 {
		r.at = behind(r.at, h.LogPos)
	} else if h.Timestamp > 0 && kind != replication.FORMAT_DESCRIPTION_EVENT {
		r.at += int64(h.EventSize) // what MariaDB 11.4 writes inside of transactions
	}
	r.log += int64(h.EventSize)
	var body []byte
	switch event := e.Event.(type) {
	case *replication.GenericEvent:
		body = event.Data
	case *replication.RotateEvent:
		r.abandon()
		if name := string(event.NextLogName); name != r.file {
			r.file, r.created = name, 0
		}
		r.at = int64(event.Position)
		if h.Timestamp > 0 {
			return r.reached(gtid{}, 0) // the end of a file; else the stream's own beginning
		}
		return nil
	}
	if err := r.event(kind, h, body); err != nil {
		var lost *lostError
		if errors.As(err, &lost) {
			return err
		}
		return fmt.Errorf("read event %s ending at %s:%d: %w", kind, r.file, r.at, err)
	}
	return nil
}

// behind is the place that an event names, which has 32 bits for it: a file may be
// larger, as a transaction is never divided. at is where the event before ended.
func behind(at int64, named uint32) int64 {
	next := at&^(1<<32-1) | int64(named)
	if next < at-1<<31 {
		next += 1 << 32
	}
	return next
}

func (r *reader) event(kind replication.EventType, h *replication.EventHeader, body []byte) error {
	b := &reading{rest: body}
	switch kind {
	case replication.FORMAT_DESCRIPTION_EVENT:
		r.created = int64(h.Timestamp)
		r.abandon()
	case replication.STOP_EVENT:
		r.abandon()
	case replication.MARIADB_GTID_EVENT:
		return r.beginMariaDB(b, h)
	case replication.GTID_EVENT, replication.ANONYMOUS_GTID_EVENT:
		return r.beginMySQL(b, h, kind == replication.GTID_EVENT)
	case replication.GTID_TAGGED_LOG_EVENT:
		if r.source.byGTID {
			return &lostError{fmt.Sprintf("at %s:%d is a transaction whose GTID has a tag, which cannot be followed: do not use tags", r.file, r.at)}
		}
	case replication.QUERY_EVENT:
		return r.query(b, h)
	case replication.MARIADB_QUERY_COMPRESSED_EVENT:
		return r.compressedQuery(b, h)
	case replication.XID_EVENT:
		return r.commit(h)
	case replication.XA_PREPARE_LOG_EVENT:
		return r.prepare(b, h)
	case replication.TABLE_MAP_EVENT:
		if r.lookOnly {
			return nil
		}
		return r.tableMap(b)
	case replication.WRITE_ROWS_EVENTv1, replication.WRITE_ROWS_EVENTv2, replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1:
		t := r.maps[tableID(b)]
		if t == nil || b.err != nil {
			return b.err
		}
		return r.insert(b, t, kind)
	case replication.TRANSACTION_PAYLOAD_EVENT:
		return r.payload(b, h)
	case replication.INCIDENT_EVENT:
		return &lostError{fmt.Sprintf("at %s:%d the server says that it has lost events", r.file, r.at)}
	}
	return nil
}

func (r *reader) insert(b *reading, t *table, kind replication.EventType) error {
	if t.at == nil {
		if err := r.locate(t); err != nil {
			return err
		}
	}
	in, err := parseInserted(b, t, kind == replication.WRITE_ROWS_EVENTv2)
	if err != nil {
		return err
	}
	if kind == replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1 {
		if in.images, err = uncompress(in.images); err != nil {
			return err
		}
	}
	return r.decode.each(in, func(row relay.Row, size int) error {
		if !r.tx.xa && r.tx.bytes >= wholeBytes { // the last row always waits for the end
			if err := r.send(); err != nil {
				return err
			}
		}
		r.tx.rows = append(r.tx.rows, row)
		r.tx.bytes += size + rowOverhead
		if r.tx.xa && r.held+r.tx.bytes > preparedBytes {
			return fmt.Errorf("transactions that are prepared (XA) hold more than %d MiB of messages: commit them, or append in smaller ones", preparedBytes>>20)
		}
		return nil
	})
}

// rowOverhead is what a row takes in memory besides its content.
const rowOverhead = 300

// send hands the rows over that the transaction has so far.
func (r *reader) send() error {
	r.tx.sent += len(r.tx.rows)
	return r.out.put(r.gathered())
}

// gathered takes the rows that the transaction has so far, in memory of their own.
func (r *reader) gathered() entry {
	e := entry{rows: slices.Clone(r.tx.rows), size: r.tx.bytes, micros: r.tx.micros}
	r.tx.rows, r.tx.bytes = emptied(r.tx.rows), 0
	return e
}

// emptied returns the memory of rows, without what they hold, if it is worth keeping.
func emptied(rows []relay.Row) []relay.Row {
	if cap(rows) > wholeBytes/rowOverhead*2 {
		return nil
	}
	clear(rows)
	return rows[:0]
}

// abandon forgets a transaction that has no end, because the server died while
// it wrote it: it was rolled back.
func (r *reader) abandon() {
	clear(r.maps)
	r.tx = tx{rows: emptied(r.tx.rows)}
}

// commit is the end of a transaction.
func (r *reader) commit(h *replication.EventHeader) error {
	if r.tx.micros == 0 {
		r.tx.micros = int64(h.Timestamp) * 1_000_000
	}
	return r.reached(r.tx.gtid, r.tx.micros)
}

// reached hands over the rest of a transaction, and its end.
func (r *reader) reached(g gtid, micros int64) error {
	end := entry{reached: true, gtid: g, file: r.file, at: r.at, created: r.created, columns: r.columns, micros: micros, log: r.log}
	var all [2]entry
	those := all[:0]
	if len(r.tx.rows) > 0 {
		those = append(those, r.gathered())
	}
	if r.waiting != nil {
		r.waiting.merge(&end)
		end = *r.waiting
	}
	if len(r.prepared) > 0 {
		r.waiting = &end
	} else {
		r.waiting = nil
		those = append(those, end)
	}
	err := r.out.put(those...)
	r.tx = tx{rows: r.tx.rows}
	return err
}

// xidText is the id of an XA transaction as statements in the log write it, in
// lower case.
func xidText(format uint64, global, branch []byte) string {
	return fmt.Sprintf("x'%s',x'%s',%d", hex.EncodeToString(global), hex.EncodeToString(branch), format)
}

// prepare is the end of the first phase of an XA transaction: its rows are not
// committed yet, and are so where its second phase is in the log.
func (r *reader) prepare(b *reading, h *replication.EventHeader) error {
	onePhase := b.uint(1) != 0
	format := b.uint(4)
	global, branch := int(b.uint(4)), int(b.uint(4))
	xid := xidText(format, b.bytes(global), b.bytes(branch))
	if b.err != nil {
		return b.err
	}
	if onePhase {
		return r.commit(h)
	}
	if len(r.tx.rows) > 0 {
		r.held += r.tx.bytes
		r.prepared[xid] = r.gathered()
	}
	return r.commit(h)
}

// finish ends the second phase.
func (r *reader) finish(xid string, committed bool, h *replication.EventHeader) error {
	e := r.prepared[xid]
	r.held -= e.size
	if committed {
		r.tx.rows, r.tx.bytes = append(r.tx.rows, e.rows...), r.tx.bytes+e.size
	}
	delete(r.prepared, xid)
	return r.commit(h)
}
