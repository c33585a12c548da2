package binlog

import (
	"context"
	"errors"
	"os"
	"testing"

	"tidings.example/relay"
)

// A server that crashes while it writes leaves a file that ends within an event,
// and goes on in another. All rows before that come each time the log is read, and
// then the error that says that nobody can read on.
func TestFileThatEndsWithinAnEvent(t *testing.T) {
	t.Parallel()
	db, servers := privateDB(t)
	s := source(t, db, false)
	f := follow(t, s, nil)
	appendTo(t, db, "a", "b")
	end := f.batches(2, 1)[0].End
	f.end()
	appendTo(t, db, "c")
	files, err := s.access.Files(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	last := files[len(files)-1]
	appendTo(t, db, "cut off")
	var base string
	if err := db.SQL().QueryRow("SELECT @@datadir").Scan(&base); err != nil {
		t.Fatal(err)
	}
	servers.Kill("mariadb")
	if err := os.Truncate(base+last.Name, last.Size+50); err != nil {
		t.Fatal(err)
	}
	servers.Start("mariadb")
	appendTo(t, db, "d")
	for range 3 { // whether the rows or the error are noticed first is up to chance
		s := source(t, db, false) // as another process, which knows of nothing
		f := follow(t, s, end)
		if f.start.Fresh {
			t.Fatalf("fresh start: %s", f.start.Lost)
		}
		at := f.batches(2, 1)[1].End
		if err := f.failure(); !errors.Is(err, relay.ErrLogLost) {
			t.Fatalf("the log ends with: %v", err)
		}
		f.end()
		f = follow(t, s, at)
		if f.start.Lost == "" {
			t.Fatal("the log goes on behind the cut")
		}
		appendTo(t, db, "e")
		wantKeys(t, f.rows(1), "e")
		f.end()
	}
}
