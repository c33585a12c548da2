package binlog

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/go-mysql-org/go-mysql/replication"
)

// The flags of MariaDB's GTID events.
const (
	flagStandalone = 1
	flagPrepared   = 64
)

func (r *reader) begin(g gtid, h *replication.EventHeader) {
	r.tx = tx{rows: emptied(r.tx.rows), gtid: g, micros: int64(h.Timestamp) * 1_000_000}
}

func (r *reader) beginMariaDB(b *reading, h *replication.EventHeader) error {
	sequence, domain, flags := b.uint(8), uint32(b.uint(4)), b.uint(1)
	if b.err != nil {
		return b.err
	}
	r.begin(gtid{domain: domain, server: h.ServerID, first: sequence, last: sequence}, h)
	r.tx.standalone = flags&flagStandalone != 0
	r.tx.open = !r.tx.standalone
	r.tx.xa = flags&flagPrepared != 0
	return nil
}

func (r *reader) beginMySQL(b *reading, h *replication.EventHeader, named bool) error {
	b.uint(1) // flags
	source, number := b.bytes(16), b.uint(8)
	if b.err != nil {
		return b.err
	}
	var g gtid
	if named {
		name, ok := r.sources[[16]byte(source)]
		if !ok {
			x := hex.EncodeToString(source)
			name = x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
			r.sources[[16]byte(source)] = name
		}
		g = gtid{source: name, first: number, last: number}
	}
	r.begin(g, h)
	if b.uint(1) == 2 { // logical clocks follow, and since MySQL 8.0 the time of the commit
		b.bytes(16)
		if at := b.uint(7); b.err == nil {
			r.tx.micros = int64(at &^ (1 << 55))
		}
	}
	return nil
}

func (r *reader) compressedQuery(b *reading, h *replication.EventHeader) error {
	head, database, err := queryHead(b)
	if err != nil {
		return err
	}
	text, err := uncompress(b.rest)
	if err != nil {
		return err
	}
	return r.statement(head, database, string(text), h)
}

func (r *reader) query(b *reading, h *replication.EventHeader) error {
	head, database, err := queryHead(b)
	if err != nil {
		return err
	}
	return r.statement(head, database, string(b.rest), h)
}

// queryHead reads what is in front of a statement's text.
func queryHead(b *reading) (failed bool, database string, err error) {
	b.bytes(8) // thread, time
	n := int(b.uint(1))
	code := b.uint(2)
	b.bytes(int(b.uint(2))) // variables
	database = string(b.bytes(n))
	b.uint(1)
	return code != 0, database, b.err
}

var (
	// intoOurs is a statement that adds rows, written as a statement.
	intoOurs = regexp.MustCompile("(?is)^\\s*(?:/\\*.*?\\*/\\s*)*(?:INSERT|REPLACE|LOAD\\s+DATA)\\b.*?\\bINTO\\s+(?:TABLE\\s+)?" +
		"(?:(?:`([^`]+)`|(\\w+))\\s*\\.\\s*)?`?(tidings_outbox|tidings_outbox_log)`?(?:\\W|$)")
	// ourName is one of our tables, with the database that it is said to be in.
	ourName = regexp.MustCompile("(?i)(?:(?:`([^`]+)`|(\\w+))\\s*\\.\\s*)?`?\\b(tidings_outbox(?:_log)?)\\b")
)

// statement is a statement in the log: the beginning and the end of
// transactions, what changes tables, and the changes of sessions that write no rows.
func (r *reader) statement(_ bool, database, text string, h *replication.EventHeader) error {
	switch verb, rest := firstWord(text); verb {
	case "BEGIN":
		r.tx.open = true
		return nil
	case "COMMIT":
		return r.commit(h)
	case "SAVEPOINT":
		if r.tx.open {
			if r.tx.marks == nil {
				r.tx.marks = map[string]int{}
			}
			r.tx.marks[savepointName(rest)] = r.tx.sent + len(r.tx.rows)
		}
		return nil
	case "ROLLBACK":
		if next, name := firstWord(rest); next == "TO" {
			return r.rollbackTo(savepointName(name))
		}
		r.tx.rows, r.tx.bytes = emptied(r.tx.rows), 0
		return r.commit(h)
	case "XA":
		return r.xa(rest, h)
	default:
		return r.otherStatement(verb, database, text, h)
	}
}

func (r *reader) xa(rest string, h *replication.EventHeader) error {
	switch verb, xid := firstWord(rest); verb {
	case "START", "BEGIN":
		r.tx.open, r.tx.xa = true, true
		return nil
	case "COMMIT":
		if id, onePhase := strings.CutSuffix(strings.ToUpper(xid), "ONE PHASE"); onePhase && id != "" {
			return r.commit(h)
		}
		return r.finish(normalXID(xid), true, h)
	case "ROLLBACK":
		return r.finish(normalXID(xid), false, h)
	}
	return nil // END
}

// normalXID is an id as xidText writes it.
func normalXID(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), "")) }

func (r *reader) rollbackTo(name string) error {
	mark, ok := r.tx.marks[name]
	if !ok {
		return nil // it has no changes before it
	}
	if mark < r.tx.sent {
		return errors.New("a transaction with more than 1 MiB of messages was rolled back to a savepoint after it had changed a table without transactions: keep such tables out of transactions that append")
	}
	r.tx.rows = r.tx.rows[:mark-r.tx.sent]
	return nil
}

func savepointName(s string) string {
	_, rest := firstWord(s)
	if first, after := firstWord(s); first == "SAVEPOINT" && after != "" {
		s = rest
	}
	return strings.Trim(strings.TrimSpace(s), "`")
}

func firstWord(s string) (word, rest string) {
	s = strings.TrimLeft(s, " \t\r\n")
	for i := range len(s) {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return strings.ToUpper(s[:i]), strings.TrimLeft(s[i:], " \t\r\n")
		}
	}
	return strings.ToUpper(s), ""
}

func (r *reader) otherStatement(verb, database, text string, h *replication.EventHeader) error {
	if m := intoOurs.FindStringSubmatch(text); m != nil {
		if named := m[1] + m[2]; named != "" {
			database = named
		}
		if r.source.same(database) {
			return &lostError{fmt.Sprintf("at %s:%d rows were appended to %s by a session with binlog_format = STATEMENT, and cannot be read from the log: set binlog_format = ROW", r.file, r.at, m[3])}
		}
	}
	switch verb {
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "TRUNCATE", "ANALYZE", "GRANT", "REVOKE", "FLUSH":
	default:
		// Too many is only slower: where the columns are is looked up again.
		for _, m := range ourName.FindAllStringSubmatch(text, -1) {
			if in := m[1] + m[2]; in != "" && !r.source.same(in) || in == "" && !r.source.same(database) {
				continue
			}
			which := tableOutbox
			if strings.EqualFold(m[3], tableNames[tableLog]) {
				which = tableLog
			}
			r.columns[which] = nil
			r.lastOf[which] = nil
		}
	}
	if r.tx.open {
		return nil
	}
	return r.commit(h)
}

func (r *reader) tableMap(b *reading) error {
	id := tableID(b)
	whole := b.rest
	which := ours(b, r.source.database, r.source.fold)
	if which < 0 || b.err != nil {
		delete(r.maps, id)
		return b.err
	}
	if r.lastOf[which] != nil && bytes.Equal(whole, r.lastMap[which]) {
		r.maps[id] = r.lastOf[which]
		return nil
	}
	t, err := parseTable(b, which)
	if err != nil {
		return err
	}
	r.maps[id], r.lastOf[which] = t, t
	r.lastMap[which] = append(r.lastMap[which][:0], whole...)
	return nil
}

// uncompress reverses MariaDB's compression of events: the length of the
// length and the method in one byte, the length, and zlib's bytes.
func uncompress(b []byte) ([]byte, error) {
	if len(b) < 1 || int(b[0]&7) > 4 || len(b) < 1+int(b[0]&7) || b[0]>>4&7 != 0 {
		return nil, errors.New("a compressed event has a form that is not known")
	}
	var full [4]byte
	n := int(b[0] & 7)
	for i := range n {
		full[3-i] = b[n-i]
	}
	size := int64(binary.BigEndian.Uint32(full[:]))
	z, err := zlib.NewReader(bytes.NewReader(b[1+n:]))
	if err != nil {
		return nil, fmt.Errorf("uncompress an event: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(z, size+1))
	if err == nil && int64(len(out)) != size {
		err = fmt.Errorf("it has %d bytes, not %d", len(out), size)
	}
	if err != nil {
		return nil, fmt.Errorf("uncompress an event: %w", err)
	}
	return out, nil
}

// payload is a whole transaction that MySQL has compressed. It is read piece by
// piece, as it may be of any size when it is not.
func (r *reader) payload(b *reading, outer *replication.EventHeader) error {
	method := 255
	for {
		field := b.packed()
		if field == 0 || b.err != nil {
			break
		}
		value := &reading{rest: b.bytes(b.packed())}
		if field == 2 {
			method = value.packed()
		}
	}
	if b.err != nil {
		return b.err
	}
	var in io.Reader = bytes.NewReader(b.rest)
	switch method {
	case 0:
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return fmt.Errorf("uncompress a transaction: %w", err)
		}
		defer z.Close()
		in = z
	case 255:
	default:
		return fmt.Errorf("a transaction is compressed by the unknown method %d", method)
	}
	var head [replication.EventHeaderSize]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("uncompress a transaction: %w", err)
		}
		var h replication.EventHeader
		if err := h.Decode(head[:]); err != nil {
			return fmt.Errorf("read an event of a compressed transaction: %w", err)
		}
		var body bytes.Buffer
		if _, err := io.CopyN(&body, in, int64(h.EventSize)-replication.EventHeaderSize); err != nil {
			return fmt.Errorf("uncompress a transaction: %w", err)
		}
		h.LogPos = outer.LogPos
		if h.EventType == replication.TRANSACTION_PAYLOAD_EVENT {
			return errors.New("a compressed transaction holds another one")
		}
		if err := r.event(h.EventType, &h, body.Bytes()); err != nil {
			return err
		}
	}
}
