package binlog

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// ways are both kinds of positions.
func ways(t *testing.T, fn func(t *testing.T, byFile bool)) {
	for _, byFile := range []bool{false, true} {
		t.Run(fmt.Sprintf("by file %v", byFile), func(t *testing.T) {
			t.Parallel()
			fn(t, byFile)
		})
	}
}

// A large transaction is handed over while it is read, and never kept in memory;
// whoever goes on inside of it gets the rest.
func TestLargeTransaction(t *testing.T) { // not beside others, which use memory too
	for _, byFile := range []bool{false, true} {
		const n = 200_000
		db := newDB(t)
		s := source(t, db, byFile)
		f := follow(t, s, nil)
		exec(t, db, fmt.Sprintf(`INSERT INTO tidings_outbox (channel, message_key, type, payload)
			SELECT 'orders', seq, 'OrderCreated', REPEAT('x', 300) FROM seq_1_to_%d`, n))
		appendTo(t, db, "last")
		var before, now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var ends [][]byte
		var done []int
		got, highest := 0, uint64(0)
		for got < n {
			b, err := f.Next(t.Context(), 2000, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range b.Rows {
				if got++; got <= n && r.Message.Key != fmt.Sprint(got) {
					t.Fatalf("row %d has key %s", got, r.Message.Key)
				}
			}
			ends, done = append(ends, b.End), append(done, got)
			runtime.ReadMemStats(&now)
			highest = max(highest, now.HeapInuse)
		}
		if got == n {
			wantKeys(t, f.rows(1), "last")
		}
		if highest > before.HeapInuse+48<<20 {
			t.Errorf("the heap grew from %d to %d MiB", before.HeapInuse>>20, highest>>20)
		}
		f.end()
		for _, i := range []int{0, len(ends) / 2} {
			if !strings.Contains(string(ends[i]), "+") {
				t.Errorf("position %s is not within the transaction", ends[i])
			}
			f = follow(t, s, ends[i])
			first := f.batches(1, 1)[0].Rows[0]
			if want := fmt.Sprint(done[i] + 1); first.Message.Key != want {
				t.Errorf("behind %s comes row %s, want %s", ends[i], first.Message.Key, want)
			}
			f.end()
		}
	}
}

// From the end of every batch the same rows follow, with prepared transactions
// and savepoints between.
func TestResumeEverywhere(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, byFile bool) {
		db := newDB(t)
		exec(t, db, "CREATE TABLE plain (a INT) ENGINE=MyISAM", "CREATE TABLE other (a INT)")
		s := source(t, db, byFile)
		f := follow(t, s, nil)
		one, two := conn(t, db), conn(t, db)
		appendTo(t, db, "a")
		on(t, one, "XA START 'x','y',7", insert("tidings_outbox", "x1", "x2"), "XA END 'x','y',7", "XA PREPARE 'x','y',7")
		on(t, two, "XA START 'never'", insert("tidings_outbox", "never"), "XA END 'never'", "XA PREPARE 'never'")
		appendTo(t, db, "b1", "b2")
		exec(t, db, "INSERT INTO other VALUES (1)")
		on(t, one, "XA COMMIT 'x','y',7")
		on(t, two, "XA ROLLBACK 'never'")
		on(t, one, "XA START 'once'", insert("tidings_outbox", "once"), "XA END 'once'", "XA COMMIT 'once' ONE PHASE")
		on(t, two, "BEGIN", insert("tidings_outbox", "c"), "SAVEPOINT s", insert("tidings_outbox", "gone"),
			"INSERT INTO plain VALUES (1)", "ROLLBACK TO s", insert("tidings_outbox", "d"), "COMMIT")
		on(t, two, "BEGIN", insert("tidings_outbox", "gone too"), "INSERT INTO plain VALUES (1)", "ROLLBACK")
		on(t, two, "BEGIN", insert("tidings_outbox", "e"), "CREATE TABLE third (a INT)") // commits
		on(t, two, "UPDATE tidings_outbox SET payload = 'x'", "DELETE FROM tidings_outbox WHERE message_key = 'a'",
			"REPLACE INTO tidings_outbox (position, channel, message_key, type, payload) VALUES (1000, 'orders', 'f', 'T', '')")
		exec(t, db, "FLUSH BINARY LOGS")
		appendTo(t, db, "g")
		want := []string{"a", "b1", "b2", "x1", "x2", "once", "c", "d", "e", "f", "g"}
		batches := f.batches(len(want), 1)
		var got []string
		for _, b := range batches {
			got = append(got, keys(b.Rows)...)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("rows came with keys %q, want %q", got, want)
		}
		f.end()
		for i, b := range batches[:len(batches)-1] {
			f := follow(t, s, b.End)
			if f.start.Fresh {
				t.Fatalf("position %s is lost: %s", b.End, f.start.Lost)
			}
			if got := keys(f.rows(len(want) - i - 1)); !slices.Equal(got, want[i+1:]) {
				t.Errorf("behind %s came %q, want %q", b.End, got, want[i+1:])
			}
			f.end()
		}
	})
}

// The server may leave columns out of its log, name them, and compress them.
func TestRowImages(t *testing.T) {
	t.Parallel()
	db, _ := privateDB(t)
	for _, image := range []string{"FULL", "NOBLOB", "MINIMAL"} {
		for _, metadata := range []string{"NO_LOG", "MINIMAL", "FULL"} {
			for _, compress := range []string{"OFF", "ON"} {
				for _, checksum := range []string{"CRC32", "NONE"} {
					name := image + " " + metadata + " " + compress + " " + checksum
					exec(t, db, "SET GLOBAL binlog_row_image = "+image, "SET GLOBAL binlog_row_metadata = "+metadata,
						"SET GLOBAL log_bin_compress = "+compress, "SET GLOBAL log_bin_compress_min_len = 10", "SET GLOBAL binlog_checksum = "+checksum)
					f := follow(t, source(t, db, false), nil)
					c := conn(t, db)
					on(t, c, "SET SESSION binlog_row_image = "+image, insert("tidings_outbox", "a"),
						`INSERT INTO tidings_outbox (id, channel, message_key, type, subject, content_type, headers, payload, created_at) VALUES
						('id', 'c', NULL, 't', 's', 'text/plain', '{"h": "v"}', REPEAT('p', 300), '2001-02-03 04:05:06.789012')`)
					rows := f.rows(2)
					for _, r := range rows {
						if r.Err != nil {
							t.Errorf("%s: %v", name, r.Err)
						}
					}
					if m := rows[0].Message; m.ID == "" || m.Time.IsZero() || m.Channel != "orders" || m.ContentType != "application/json" {
						t.Errorf("%s: %+v", name, m)
					}
					if m := rows[1].Message; m.ID != "id" || m.Channel != "c" || m.Key != "" || m.Type != "t" || m.Subject != "s" || m.ContentType != "text/plain" ||
						m.Headers["h"] != "v" || len(m.Payload) != 300 || m.Time.Format("2006-01-02 15:04:05.000000") != "2001-02-03 04:05:06.789012" {
						t.Errorf("%s: %+v", name, m)
					}
					f.end()
				}
			}
		}
	}
}

// Rows that hold no message come with the error that the table's reader has.
func TestBadRows(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	exec(t, db, "ALTER TABLE tidings_outbox MODIFY channel VARCHAR(255) NULL, MODIFY payload LONGBLOB NULL, MODIFY created_at DATETIME(6) NULL, MODIFY message_key VARBINARY(255) NULL")
	f := follow(t, source(t, db, false), nil)
	exec(t, db, `INSERT INTO tidings_outbox (channel, message_key, type, headers, payload) VALUES (NULL, 'a', 't', NULL, ''),
		('c', 'b', 't', NULL, NULL), ('c', 'c', 't', '[1]', ''), ('c', x'ff', 't', NULL, '')`,
		"INSERT INTO tidings_outbox (channel, message_key, type, payload, created_at) VALUES ('c', 'd', 't', '', NULL)",
		"INSERT INTO tidings_outbox (channel, message_key, type, payload) VALUES ('c', 'e', 't', REPEAT('x', 9000000))")
	got := f.rows(6)
	ctx := context.Background()
	want, err := f.session.Read(ctx, everything())
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range got {
		if r.Err == nil || want[i].Err == nil || r.Err.Error() != want[i].Err.Error() || r.Raw == nil {
			t.Errorf("row %d: %v, from the table %v", i, r.Err, want[i].Err)
		}
	}
}

// A session that writes statements to the log is noticed, and what is lost from
// the log is in the table.
func TestStatements(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	s := source(t, db, false)
	f := follow(t, s, nil)
	appendTo(t, db, "a")
	a := f.batches(1, 10)[0]
	c := conn(t, db)
	on(t, c, "CREATE TABLE copy LIKE tidings_outbox", "SET SESSION binlog_format = STATEMENT", "INSERT INTO copy SELECT * FROM tidings_outbox",
		insert("tidings_outbox", "b"))
	if err := f.failure(); err == nil || !strings.Contains(err.Error(), "binlog_format = ROW") {
		t.Fatalf("the log fails with %v", err)
	}
	f.end()
	f = follow(t, s, a.End)
	if !f.start.Fresh || !strings.Contains(f.start.Lost, "binlog_format = ROW") {
		t.Fatalf("the start is %+v", f.start)
	}
	before, err := f.Before(context.Background(), everything())
	if err != nil {
		t.Fatal(err)
	}
	wantKeys(t, before, "a", "b")
	end := f.start.Position
	f.end()
	if f = follow(t, s, end); f.start.Fresh {
		t.Fatalf("behind the trouble the start is %+v", f.start)
	}
}

func TestAlter(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, byFile bool) {
		db := newDB(t)
		s := source(t, db, byFile)
		f := follow(t, s, nil)
		var ends [][]byte
		var want []string
		check := func(key string) {
			t.Helper()
			appendTo(t, db, key)
			want = append(want, key)
			b := f.batches(1, 10)[0]
			m := b.Rows[0].Message
			if m.Key != key || m.Channel != "orders" || m.Type != "OrderCreated" || string(m.Payload) != "{}" || m.ID == "" || b.Rows[0].Err != nil {
				t.Fatalf("row %s: %+v, %v", key, m, b.Rows[0].Err)
			}
			ends = append(ends, b.End)
		}
		check("a")
		exec(t, db, "ALTER TABLE tidings_outbox ADD COLUMN tenant DECIMAL(20,3) NULL DEFAULT 1.5 FIRST, ADD COLUMN extra JSON NULL AFTER id")
		check("b")
		exec(t, db, "ALTER TABLE tidings_outbox MODIFY type VARCHAR(255) NOT NULL AFTER id, MODIFY channel VARCHAR(255) NOT NULL AFTER message_key")
		check("c")
		exec(t, db, "ALTER TABLE tidings_outbox DROP COLUMN tenant, ADD COLUMN e ENUM('a','b') DEFAULT 'b', ADD COLUMN d DATE, ADD COLUMN b BIT(9), ADD COLUMN f DOUBLE, ADD COLUMN c CHAR(200) DEFAULT 'x' FIRST")
		check("d")
		f.end()
		// A reader that was away goes on with the columns of the time.
		f = follow(t, s, ends[2])
		wantKeys(t, f.rows(1), "d")
		f.end()
		// Twice altered while nobody read: what was between cannot be known.
		f = follow(t, s, ends[0])
		if err := f.failure(); err == nil || !strings.Contains(err.Error(), "binlog_row_metadata = FULL") {
			t.Fatalf("the log fails with %v", err)
		}
		f.end()
		if f = follow(t, s, ends[0]); !f.start.Fresh || !strings.Contains(f.start.Lost, "altered") {
			t.Fatalf("the start is %+v", f.start)
		}
	})
}
