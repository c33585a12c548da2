package mysql

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings.example/internal/servertest"
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
	insert(`INSERT INTO tidings_outbox (channel, type, payload, headers) VALUES ('orders', 'Empty', '', '')`)
	insert(`INSERT INTO tidings_outbox (channel, type, payload, headers) VALUES ('orders', 'BadHeaders', '', '["no"]')`)
	insert(`SET SESSION sql_mode = ''`)
	insert(`INSERT INTO tidings_outbox (channel, type, payload, created_at) VALUES ('orders', 'BadTime', '', '0000-00-00')`)

	s, _ := acquire(t, db, "a")
	rows := read(t, s, everything())
	if len(rows) != 4 {
		t.Fatalf("read %d rows, want 4", len(rows))
	}
	for i, column := range []string{"", "", "headers", "created_at"} {
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
	if rows[0].Message.ID == rows[1].Message.ID || len(rows[0].Message.ID) != 36 {
		t.Errorf("default ids: %q, %q", rows[0].Message.ID, rows[1].Message.ID)
	}
}

// Text is compared by MySQL without the spaces at its end; keys are not.
func TestKeysDifferBySpaces(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	appendAll(t, db, message("k"), message("k "), message("K"))
	s, _ := acquire(t, db, "a")
	var c relay.Change
	for _, r := range read(t, s, everything()) {
		c.SetAside = append(c.SetAside, relay.SetAside{Position: r.Position, Reason: "bad",
			Key: relay.HeldKey{Channel: "orders", Key: r.Message.Key}})
	}
	if err := s.Commit(ctx, c); err != nil {
		t.Fatal(err)
	}
	renewal, err := s.Renew(ctx)
	if err != nil || len(renewal.Held) != 3 {
		t.Fatalf("held keys: %+v, %v", renewal.Held, err)
	}
	if err := s.Commit(ctx, relay.Change{Return: []relay.HeldKey{{Channel: "orders", Key: "k"}}}); err != nil {
		t.Fatal(err)
	}
	if rows := read(t, s, everything()); len(rows) != 1 || rows[0].Message.Key != "k" {
		t.Errorf("after the return of k: %+v", rows)
	}
}

func TestReadOfRangesAndAbove(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	s, _ := acquire(t, db, "a")
	for range 10 {
		appendAll(t, db, message("k"))
	}
	for _, large := range []bool{false, true} {
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
			s.(*session).large = large
			if got := positions(read(t, s, test.q)); !slices.Equal(got, test.want) {
				t.Errorf("%s (large %v): %v, want %v", test.name, large, got, test.want)
			}
		}
	}
}

func TestReadEndsEarlyWithLargePayloads(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	s, _ := acquire(t, db, "a")
	m := message("k")
	m.Payload = bytes.Repeat([]byte("x"), 100<<10)
	for range 10 {
		appendAll(t, db, m, m)
	}
	var after int64
	for range 5 {
		rows := read(t, s, relay.Query{After: after, Limit: 1000, Bytes: 350 << 10})
		if len(rows) != 4 {
			t.Fatalf("%d rows of 100 KiB for a bound of 350 KiB", len(rows))
		}
		after = rows[3].Position
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

// Whoever makes the tables anew is another database, under the same name.
func TestIdentityChangesWithTheTables(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	before, err := db.identity(ctx, db.sql)
	if err != nil || !strings.Contains(before, "mariadb ") && !strings.Contains(before, "mysql ") {
		t.Fatalf("identity %q, %v", before, err)
	}
	again, err := db.identity(ctx, db.sql)
	if err != nil || again != before {
		t.Errorf("identity %q, %v; want %q", again, err, before)
	}
}

// Wait returns soon after a commit of this process or of another one.
func TestWaitSeesCommits(t *testing.T) {
	t.Parallel()
	ctx, url := context.Background(), servertest.MySQLDatabase(t)
	db, other := openURL(t, url), foreignPool(t, url)
	if err := db.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	s, _ := acquire(t, db, "a")
	var after int64
	for name, appender := range map[string]func() error{
		"this handle": func() error {
			appendAll(t, db, message("k"))
			return nil
		},
		"a handler": func() error {
			return db.Inbox().InTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return db.Outbox().Append(ctx, tx, message("k")) })
		},
		"a single statement": func() error {
			_, err := db.sql.Exec(`INSERT INTO tidings_outbox (channel, type, payload) VALUES ('c', 't', '')`)
			return err
		},
		"another process": func() error {
			_, err := other.Exec(`INSERT INTO tidings_outbox (channel, type, payload) VALUES ('c', 't', '')`)
			return err
		},
	} {
		for _, r := range read(t, s, relay.Query{After: after, Limit: 100}) {
			after = r.Position
		}
		done := make(chan error)
		go func() { done <- appender() }()
		start := time.Now()
		for len(read(t, s, relay.Query{After: after, Limit: 100})) == 0 {
			if err := s.Wait(ctx, 10*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s: Wait took %s", name, d)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A position that was skipped and then appears ends Wait, though it is below
// others.
func TestWaitSeesLateCommits(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	s, _ := acquire(t, db, "a")
	late, err := db.sql.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Outbox().Append(ctx, late, message("late")); err != nil {
		t.Fatal(err)
	}
	appendAll(t, db, message("early"))
	if rows := read(t, s, everything()); len(rows) != 1 {
		t.Fatalf("%d rows before the commit", len(rows))
	}
	skipped := relay.Query{Ranges: []relay.Range{{First: 1, Last: 1}}, After: 2, Limit: 10}
	if rows := read(t, s, skipped); len(rows) != 0 {
		t.Fatalf("rows: %+v", rows)
	}
	s.(*session).stopSignal() // as if another process committed
	if err := late.Commit(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := s.Wait(ctx, 10*time.Second); err != nil || time.Since(start) > 5*time.Second {
		t.Errorf("Wait: %v after %s", err, time.Since(start))
	}
	if rows := read(t, s, skipped); len(rows) != 1 {
		t.Errorf("rows after the commit: %+v", rows)
	}
	// What was found is not waited for again.
	start = time.Now()
	if err := s.Wait(ctx, 50*time.Millisecond); err != nil || time.Since(start) < 50*time.Millisecond {
		t.Errorf("Wait with nothing new: %v after %s", err, time.Since(start))
	}
}

func TestWaitEnds(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	s, _ := acquire(t, db, "a")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := s.Wait(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait with a context that ends: %v", err)
	}
}

// Both ways to commit check the fence and change nothing after it.
func TestCommitChecksTheFence(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	appendAll(t, db, message("k"))
	old, _ := acquire(t, db, "a")
	acquire(t, db, "a")
	for name, c := range map[string]relay.Change{
		"at once":   {Done: []int64{1}, Plan: &relay.Plan{ID: 1, Positions: []byte{1}}},
		"statement": {Done: []int64{1}, Epoch: &relay.Epoch{Name: "e", Lanes: 1}},
	} {
		if err := old.Commit(ctx, c); !errors.Is(err, relay.ErrFenced) {
			t.Errorf("%s: Commit behind the fence: %v", name, err)
		}
	}
	if _, err := old.Renew(ctx); !errors.Is(err, relay.ErrFenced) {
		t.Errorf("Renew behind the fence: %v", err)
	}
	now, state := acquire(t, db, "a")
	if len(state.Plans) != 0 || state.Epoch != "" {
		t.Errorf("state: %+v", state)
	}
	if rows := read(t, now, everything()); len(rows) != 1 {
		t.Errorf("rows: %+v", rows)
	}
}

// A statement that fails in the middle takes the others back.
func TestCommitIsAtomic(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	appendAll(t, db, message("k"))
	s, _ := acquire(t, db, "a")
	plan := relay.Change{Plan: &relay.Plan{ID: 1, Positions: []byte{1}}}
	if err := s.Commit(ctx, plan); err != nil {
		t.Fatal(err)
	}
	plan.Done = []int64{1}
	if err := s.Commit(ctx, plan); err == nil {
		t.Error("a plan with a used id was committed")
	}
	if rows := read(t, s, everything()); len(rows) != 1 {
		t.Errorf("rows: %+v", rows)
	}
	if err := s.Commit(ctx, relay.Change{Done: []int64{1}, DonePlans: []int64{1}}); err != nil {
		t.Error(err)
	}
}
