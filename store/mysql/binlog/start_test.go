package binlog

import "testing"

// The server that a position is of is asked for its file; and for the GTIDs where
// the file is another one, or another server's.
func TestResumeByFileOrGTID(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	s := source(t, db, false)
	f := follow(t, s, nil)
	appendTo(t, db, "a", "b")
	appendTo(t, db, "c")
	batches := f.batches(3, 1)
	f.end()
	rest := []string{"b", "c"}
	for i, b := range batches[:2] {
		p, err := parsePosition(b.End, s.access.MariaDB())
		if err != nil || p.set == nil || p.created == 0 || p.server == "" {
			t.Fatalf("position %s: %v", b.End, err)
		}
		older, otherFile, otherServer, unknown := p, p, p, p
		older.created--
		otherFile.file = "none.000001"
		otherServer.server = "other:3306-2"
		unknown.created = 0 // as positions were before there was a time in them
		for name, c := range map[string]struct {
			position
			byFile bool
		}{"same": {p, true}, "older": {older, false}, "other file": {otherFile, false}, "other server": {otherServer, false}, "unknown": {unknown, false}} {
			f := follow(t, s, c.text())
			if f.start.Fresh || f.Log.(*Log).byFile != c.byFile {
				t.Errorf("%s: fresh %v (%s), by file %v, want %v", name, f.start.Fresh, f.start.Lost, f.Log.(*Log).byFile, c.byFile)
			}
			wantKeys(t, f.rows(len(rest)-i), rest[i:]...)
			f.end()
		}
		// Without GTIDs there is nothing else to go by.
		p.set = nil
		older.set = nil
		for _, c := range []struct {
			position
			fresh bool
		}{{p, false}, {older, true}} {
			f := follow(t, source(t, db, true), c.text())
			if f.start.Fresh != c.fresh {
				t.Errorf("%s: fresh %v (%s)", c.text(), f.start.Fresh, f.start.Lost)
			}
			f.end()
		}
	}
}

// An event names its place with 32 bits.
func TestLargeFiles(t *testing.T) {
	t.Parallel()
	const full = 1 << 32
	for _, c := range []struct {
		at   int64
		name uint32
		want int64
	}{{4, 256, 256}, {full - 100, 50, full + 50}, {full + 50, 60, full + 60}, {2*full - 1, 7, 2*full + 7}, {300, 256, 256}} {
		if got := behind(c.at, c.name); got != c.want {
			t.Errorf("behind %d an event at %d ends at %d, want %d", c.at, c.name, got, c.want)
		}
	}
}
