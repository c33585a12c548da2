package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/relay"
)

func TestHandWrittenRows(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	insert := func(query string, args ...any) {
		t.Helper()
		if _, err := db.sql.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	insert(`INSERT INTO tidings_outbox (channel, type, payload) VALUES ('orders', 'Plain', 'text')`)
	insert(`INSERT INTO tidings_outbox (id, created_at, channel, type, payload, headers) VALUES (NULL, NULL, 'orders', 'Nulls', x'00', '')`)
	insert(`INSERT INTO tidings_outbox (channel, type, payload, headers) VALUES ('orders', 'BadHeaders', '', '["no"]')`)
	insert(`INSERT INTO tidings_outbox (channel, type, payload, created_at) VALUES ('orders', 'BadTime', '', 'yesterday')`)
	insert(`INSERT INTO tidings_outbox (channel, type, payload) VALUES (x'ff', 'BadText', '')`)
	insert(`INSERT INTO tidings_outbox (channel, type, payload) VALUES ('orders', 'TooLong', zeroblob(?))`, tidings.MaxPayload+1)

	s, _ := acquire(t, db, "a")
	rows := read(t, s, everything())
	if len(rows) != 6 {
		t.Fatalf("read %d rows, want 6", len(rows))
	}
	for i, column := range []string{"", "", "headers", "created_at", "channel", "payload"} {
		switch err := rows[i].Err; {
		case column == "" && err != nil:
			t.Errorf("row %d: %v", i, err)
		case column != "" && (err == nil || !strings.Contains(err.Error(), column)):
			t.Errorf("row %d: %v, want an error naming %s", i, err, column)
		}
	}
	for _, r := range rows[:2] {
		if err := r.Message.Validate(); err != nil || r.Message.ContentType != "application/json" {
			t.Errorf("row with defaults: %+v: %v", r.Message, err)
		}
		if age := time.Since(r.Message.Time); age < -time.Second || age > time.Minute {
			t.Errorf("default time is %s old", age)
		}
	}
	if rows[0].Message.ID == rows[1].Message.ID || rows[0].Message.ID[14] != '4' || len(rows[0].Message.ID) != 36 {
		t.Errorf("default ids: %q, %q", rows[0].Message.ID, rows[1].Message.ID)
	}
	if string(rows[0].Message.Payload) != "text" {
		t.Errorf("a payload given as text: %q", rows[0].Message.Payload)
	}
}

// A row with a key that is no text can be set aside, seen and returned.
func TestSetAsideRowsOfAnyContent(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	if _, err := db.sql.Exec(`INSERT INTO tidings_outbox (channel, message_key, type, payload) VALUES ('orders', x'6b', 'T', '')`); err != nil {
		t.Fatal(err)
	}
	s, _ := acquire(t, db, "a")
	row := read(t, s, everything())[0]
	key := relay.HeldKey{Channel: "orders", Key: "k"}
	if err := s.Commit(ctx, relay.Change{SetAside: []relay.SetAside{{Position: row.Position, Key: key, Reason: "bad"}}}); err != nil {
		t.Fatal(err)
	}
	renewal, err := s.Renew(ctx)
	if err != nil || len(renewal.Held) != 1 || renewal.Held[0] != key {
		t.Fatalf("held keys: %+v, %v", renewal.Held, err)
	}
	if err := s.Commit(ctx, relay.Change{Return: renewal.Held}); err != nil {
		t.Fatal(err)
	}
	if rows := read(t, s, everything()); len(rows) != 1 || rows[0].Position != row.Position {
		t.Errorf("after the return: %+v", rows)
	}
}

func TestPositionsAreNotUsedAgain(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	s, _ := acquire(t, db, "a")
	appendAll(t, db, message("a"), message("b"))
	if err := s.Commit(ctx, relay.Change{Done: []int64{1, 2}}); err != nil {
		t.Fatal(err)
	}
	appendAll(t, db, message("c"))
	if rows := read(t, s, everything()); len(rows) != 1 || rows[0].Position != 3 {
		t.Errorf("rows: %+v, want one at position 3", rows)
	}
}

func TestReadOfRangesAndAbove(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	s, _ := acquire(t, db, "a")
	for range 10 {
		appendAll(t, db, message("k"))
	}
	for _, test := range []struct {
		name string
		q    relay.Query
		want []int64
	}{
		{"ranges only", relay.Query{Ranges: []relay.Range{{First: 2, Last: 3}, {First: 5, Last: 5}}}, []int64{2, 3, 5}},
		{"ranges with a limit", relay.Query{Ranges: []relay.Range{{First: 2, Last: 3}, {First: 5, Last: 9}}, RangeLimit: 3}, []int64{2, 3, 5}},
		{"both", relay.Query{Ranges: []relay.Range{{First: 1, Last: 1}, {First: 3, Last: 3}}, After: 7, Limit: 2}, []int64{1, 3, 8, 9}},
		{"above, bytes", relay.Query{After: 4, Limit: 5, Bytes: 16}, []int64{5, 6}},
		{"ranges do not count as bytes", relay.Query{Ranges: []relay.Range{{First: 1, Last: 3}}, After: 4, Limit: 5, Bytes: 1}, []int64{1, 2, 3, 5}},
		{"nothing", relay.Query{}, nil},
	} {
		var got []int64
		for _, r := range read(t, s, test.q) {
			got = append(got, r.Position)
		}
		if len(got) != len(test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
			continue
		}
		for i := range got {
			if got[i] != test.want[i] {
				t.Errorf("%s: %v, want %v", test.name, got, test.want)
				break
			}
		}
	}
}

func TestOneSourcePerOutbox(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	acquire(t, db, "a")
	_, _, err := db.Relay("other").Acquire(ctx, "a", time.Minute)
	if err == nil || !strings.Contains(err.Error(), `belongs to source "test"`) {
		t.Errorf("Acquire under another name: %v", err)
	}
}

func TestIdentityIsTheFile(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	_, before := acquire(t, db, "a")
	copied := db.path + ".copy"
	if _, err := db.sql.ExecContext(ctx, "VACUUM INTO ?", copied); err != nil {
		t.Fatal(err)
	}
	again, err := Open(ctx, Config{Path: copied})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	_, after := acquire(t, again, "a")
	if before.Now == after.Now {
		t.Errorf("a copy has the same identity, %q", before.Now)
	}
}

// Wait returns soon after a commit of this process, of this pool or of another
// handle, and of a pool that this package did not make.
func TestWaitSeesCommits(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	other, err := Open(ctx, Config{Path: db.path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	s, _ := acquire(t, db, "a")
	var after int64
	for name, appender := range map[string]func(){
		"this handle":    func() { appendAll(t, db, message("k")) },
		"another handle": func() { appendAll(t, other, message("k")) },
		"an append outside a transaction": func() {
			if _, err := db.sql.Exec(`INSERT INTO tidings_outbox (channel, type, payload) VALUES ('c', 't', '')`); err != nil {
				t.Error(err)
			}
		},
		"another process": func() { appendRaw(t, db.path) },
	} {
		for _, r := range read(t, s, relay.Query{After: after, Limit: 100}) {
			after = r.Position
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			appender()
		}()
		start := time.Now()
		for len(read(t, s, relay.Query{After: after, Limit: 100})) == 0 {
			if err := s.Wait(ctx, 10*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s: Wait took %s", name, d)
		}
		<-done
	}
}

// appendRaw appends without any of this package's connections.
func appendRaw(t *testing.T, path string) {
	pool, err := sql.Open("sqlite", "file:"+path+"?_busy_timeout=5000")
	if err == nil {
		_, err = pool.Exec(`INSERT INTO tidings_outbox (channel, type, payload) VALUES ('c', 't', '')`)
		err = errors.Join(err, pool.Close())
	}
	if err != nil {
		t.Error(err)
	}
}

func TestWaitEnds(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	s, _ := acquire(t, db, "a")
	start := time.Now()
	if err := s.Wait(context.Background(), 30*time.Millisecond); err != nil || time.Since(start) < 30*time.Millisecond {
		t.Errorf("Wait: %v after %s", err, time.Since(start))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := s.Wait(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait with a context that ends: %v", err)
	}
}
