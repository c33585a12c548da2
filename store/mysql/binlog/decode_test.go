package binlog

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/go-mysql-org/go-mysql/replication"

	"tidings.example/relay"
)

func TestPositionsSurviveTheirText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		mariadb := rapid.Bool().Draw(t, "mariadb")
		p := position{place: place{file: "bin.000007", at: rapid.Int64Min(0).Draw(t, "at"), columns: usualLayouts()},
			rows: rapid.Int64Min(0).Draw(t, "rows")}
		if rapid.Bool().Draw(t, "columns") {
			p.columns[1] = nil
			p.columns[0] = &[columnCount]int16{9, 8, 7, 6, 5, 4, -1, 2, 1, 0}
		}
		if rapid.Bool().Draw(t, "created") {
			p.server, p.created = "host:3306-1", rapid.Int64Range(1, 1<<40).Draw(t, "seconds")
		}
		if !rapid.Bool().Draw(t, "gtid") {
			p.server = "host:3306-1"
		} else {
			p.set = &gtidSet{sources: map[string][]interval{}}
			if mariadb {
				p.set = &gtidSet{domains: map[uint32]gtid{}}
			}
			for range rapid.IntRange(0, 5).Draw(t, "n") {
				n := rapid.Uint64Range(1, 50).Draw(t, "first")
				g := gtid{domain: uint32(n % 3), server: 7, first: n, last: n}
				if !mariadb {
					g.source, g.last = "3e11fa47-71ca-11e1-9e33-c80aa9429562", n+rapid.Uint64Range(0, 5).Draw(t, "more")
				}
				p.set.add(g)
			}
		}
		text := p.text()
		back, err := parsePosition(text, mariadb)
		if err != nil {
			t.Fatal(err)
		}
		if got := back.text(); !bytes.Equal(got, text) || back.server != p.server || back.created != p.created || back.at != p.at || back.rows != p.rows {
			t.Fatalf("%s came back as %s: %+v", text, got, back)
		}
	})
}

// The set holds what a plain set of numbers holds.
func TestIntervals(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var all []interval
		has := map[uint64]bool{}
		for range rapid.IntRange(0, 30).Draw(t, "n") {
			first := rapid.Uint64Range(1, 60).Draw(t, "first")
			last := first + rapid.Uint64Range(0, 4).Draw(t, "more")
			all = insertInterval(all, interval{first, last})
			for i := first; i <= last; i++ {
				has[i] = true
			}
		}
		count := uint64(0)
		for i, n := range all {
			if n.last < n.first || i > 0 && n.first <= all[i-1].last+1 {
				t.Fatalf("%v is not in order", all)
			}
			for k := n.first; k <= n.last; k++ {
				if !has[k] {
					t.Fatalf("%v has %d", all, k)
				}
			}
			count += n.last - n.first + 1
		}
		if count != uint64(len(has)) {
			t.Fatalf("%v holds %d numbers of %d", all, count, len(has))
		}
	})
}

// recordedReader reads events without a server.
func recordedReader(fold bool) *reader {
	r := &reader{source: &Source{database: "golden", fold: fold}, out: newBuffer(), columns: usualLayouts(),
		maps: map[uint64]*table{}, sources: map[[16]byte]string{}, prepared: map[string]entry{},
		lookUp: func(int) (layout, error) { return usual[0], nil }}
	r.out.limit = math.MaxInt // nobody takes while an event is read
	return r
}

// replay reads recorded events as if the server had sent them, and returns the rows.
func replay(parser *replication.BinlogParser, recorded []byte) (rows []relay.Row, err error) {
	r := recordedReader(false)
	collect := func() {
		_ = r.out.take(func(e *entry, _ int) bool {
			rows = append(rows, e.rows...)
			return true
		})
	}
	parser.SetRawMode(true)
	err = parser.ParseReader(bytes.NewReader(recorded), func(e *replication.BinlogEvent) error {
		defer collect()
		return r.handle(e)
	})
	return rows, err
}

const magic = "\xfebin"

func golden(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/*.binlog")
	if err != nil || len(names) == 0 {
		t.Fatalf("there are no recorded logs: %v", err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = bytes.TrimPrefix(b, []byte(magic))
	}
	return all
}

// Logs that real servers have written are read as they were.
func TestRecordedLogs(t *testing.T) {
	t.Parallel()
	for name, recorded := range golden(t) {
		rows, err := replay(replication.NewBinlogParser(), recorded)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, want := keys(rows), []string{"a", "b", "Zürich", "", "x"}; !slices.Equal(got, want) {
			t.Errorf("%s: keys %q, want %q", name, got, want)
			continue
		}
		if m := rows[2].Message; m.ID != "id" || m.Subject != "s" || m.ContentType != "text/plain" || m.Headers["h"] != "v" ||
			string(m.Payload) != "\x00\xff" || m.Time.Format("2006-01-02 15:04:05.000000") != "2001-02-03 04:05:06.789012" {
			t.Errorf("%s: %+v", name, m)
		}
		if rows[4].Position != 0 || rows[0].Position != 1 {
			t.Errorf("%s: positions %d and %d", name, rows[0].Position, rows[4].Position)
		}
	}
}

// Whatever bytes come, they are an error or rows, and no panic. A compressed
// transaction may be of any size, and takes longer than one input should: large ones are left out.
func FuzzReader(f *testing.F) {
	for _, recorded := range golden(f) {
		f.Add(recorded)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := recordedReader(true)
		for len(b) > replication.EventHeaderSize {
			var h replication.EventHeader
			if h.Decode(b) != nil || h.EventSize <= replication.EventHeaderSize || int(h.EventSize) > len(b) {
				return
			}
			body := b[replication.EventHeaderSize:h.EventSize]
			b = b[h.EventSize:]
			if h.EventType == replication.TRANSACTION_PAYLOAD_EVENT && len(body) > 1<<10 {
				return
			}
			_ = r.event(h.EventType, &h, body)
			_ = r.out.take(func(*entry, int) bool { return true })
		}
	})
}

func FuzzParsePosition(f *testing.F) {
	f.Add([]byte("gtid:0-1-7@bin.000001:4/=,?+3"), true)
	f.Add([]byte("file:bin.000001:4@host"), false)
	f.Add([]byte("gtid:0-1-7@bin.000001:4~1700000000@host:3306-1+3"), true)
	f.Fuzz(func(t *testing.T, b []byte, mariadb bool) {
		p, err := parsePosition(b, mariadb)
		if err != nil {
			return
		}
		again, err := parsePosition(p.text(), mariadb)
		if err != nil || !bytes.Equal(again.text(), p.text()) {
			t.Errorf("%q became %q: %v", b, p.text(), err)
		}
	})
}

func FuzzStatement(f *testing.F) {
	f.Add("ALTER TABLE `golden`.`tidings_outbox` ADD x INT")
	f.Add("ROLLBACK TO SAVEPOINT `x`")
	f.Add("XA COMMIT X'78',X'79',7")
	f.Fuzz(func(t *testing.T, text string) {
		r := recordedReader(false)
		_ = r.statement(false, "golden", text, &replication.EventHeader{})
	})
}
