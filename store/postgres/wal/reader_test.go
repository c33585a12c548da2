package wal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"tidings.example/relay"
	"tidings.example/store/postgres"
	"tidings.example/store/postgres/wal"
)

const patience = 30 * time.Second

// A reader is an open log.
type reader struct {
	relay.Log
	t       testing.TB
	session relay.Session
	start   relay.Start
}

// tail takes the lease and opens the log, at the saved position or at another one.
func tail(t testing.TB, src *wal.Source, holder string, position []byte) *reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, st, err := src.Acquire(ctx, holder, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if position != nil {
		st.Log.Position = position
	}
	l, start, err := src.Tail(ctx, s, st)
	if err != nil {
		_ = s.Release(context.Background())
		t.Fatal(err)
	}
	r := &reader{Log: l, t: t, session: s, start: start}
	t.Cleanup(func() {
		_ = l.Close(context.Background(), false)
		_ = s.Release(context.Background())
	})
	return r
}

// save commits a checkpoint, and confirms it.
func (r *reader) save(position []byte) {
	r.t.Helper()
	c := relay.Checkpoint{Position: position}
	if err := r.session.Commit(r.t.Context(), relay.Change{Log: &c, Reading: relay.FromLog}); err != nil {
		r.t.Fatal(err)
	}
	r.Confirm(c)
}

func (r *reader) next(limit int) relay.LogBatch {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	b, err := r.Next(ctx, limit, 4<<20)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// rows reads until n rows have come.
func (r *reader) rows(n int) []relay.Row {
	r.t.Helper()
	var all []relay.Row
	for len(all) < n {
		all = append(all, r.next(1000).Rows...)
	}
	if len(all) > n {
		r.t.Fatalf("%d rows came, want %d", len(all), n)
	}
	return all
}

func exec(t testing.TB, db *postgres.DB, script string) {
	t.Helper()
	if _, err := db.Pool().Exec(t.Context(), script); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
}

func TestColumnsMayChangeWhileTheLogIsRead(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	r := tail(t, wal.New(db, "shop", wal.Options{}), "one", nil)
	const insert = `INSERT INTO tidings_outbox (channel, type, message_key, payload) VALUES ('orders', 'T', '%s', 'x')`
	for i, change := range []string{
		`ALTER TABLE tidings_outbox ADD COLUMN extra jsonb DEFAULT '{"a": 1}'`,
		`ALTER TABLE tidings_outbox DROP COLUMN subject`,
		`ALTER TABLE tidings_outbox ADD COLUMN subject text`, // it is the last one now
		`ALTER TABLE tidings_outbox ALTER COLUMN channel TYPE varchar(200)`,
		`ALTER TABLE tidings_outbox DROP COLUMN extra`,
		`ALTER TABLE tidings_outbox ALTER COLUMN headers TYPE jsonb USING headers::jsonb`,
		`ALTER TABLE tidings_outbox DROP COLUMN created_at`,
	} {
		key := fmt.Sprint(i)
		exec(t, db, change+";"+fmt.Sprintf(insert, key))
		row := r.rows(1)[0]
		if strings.Contains(change, "created_at") {
			if row.Err == nil || !strings.Contains(row.Err.Error(), "created_at") || row.Raw == nil || row.Message.Key != key {
				t.Errorf("%s: %+v", change, row)
			}
			continue
		}
		if row.Err != nil || row.Message.Key != key || row.Message.Channel != "orders" || string(row.Message.Payload) != "x" || row.Position == 0 {
			t.Errorf("%s: %+v", change, row)
		}
	}
}

func TestRowsThatHoldNoMessageAreKeptWhole(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	r := tail(t, wal.New(db, "shop", wal.Options{}), "one", nil)
	long := strings.Repeat("ü", 2000)
	exec(t, db, `ALTER TABLE tidings_outbox ALTER COLUMN channel DROP NOT NULL, ALTER COLUMN payload DROP NOT NULL`)
	for _, c := range []struct{ insert, names string }{
		{`(channel, type, payload) VALUES (NULL, 'T', 'x')`, "channel"},
		{`(channel, type, payload) VALUES ('orders', 'T', NULL)`, "payload"},
		{`(channel, type, payload, headers) VALUES ('orders', 'T', 'x', 'no JSON')`, "headers"},
		{`(channel, type, payload, created_at) VALUES ('orders', 'T', 'x', 'infinity')`, "created_at"},
		{`(channel, type, payload, message_key) VALUES ('orders', 'T', 'x', '` + long + `')`, "message_key"},
		{`(channel, type, payload) VALUES ('orders', 'T', convert_to(repeat('x', 17 * 1024 * 1024), 'UTF8'))`, "payload"},
		{`(channel, type, payload) VALUES ('orders', 'T', convert_to(repeat('x', 60 * 1024 * 1024), 'UTF8'))`, "payload"},
	} {
		exec(t, db, `INSERT INTO tidings_outbox `+c.insert)
		row := r.rows(1)[0]
		columns, _ := row.Raw.([][]byte)
		if row.Err == nil || !strings.Contains(row.Err.Error(), "column "+c.names) || len(columns) != len(postgres.Columns) || row.Position == 0 {
			t.Errorf("%.80s: error %v, position %d, %d columns", c.insert, row.Err, row.Position, len(columns))
		}
		if c.names == "message_key" && string(columns[3]) != long {
			t.Error("a long key was not kept whole")
		}
	}
	exec(t, db, `INSERT INTO tidings_outbox (channel, type, payload) VALUES ('orders', 'T', 'good')`)
	if row := r.rows(1)[0]; row.Err != nil || string(row.Message.Payload) != "good" {
		t.Errorf("the row behind them: %+v", row)
	}
}

func TestEmittedMessages(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	r := tail(t, wal.New(db, "shop", wal.Options{}), "one", nil)
	exec(t, db, `SELECT pg_logical_emit_message(false, 'tidings', '{"id":"1","channel":"orders","type":"T"}'||chr(10)||'not in a transaction');
		SELECT pg_logical_emit_message(true, 'others', 'none of ours');
		SELECT pg_logical_emit_message(true, 'tidings', '{"channel":"orders","type":"T","headers":{"a":"b"},"created_at":"2030-01-02T03:04:05Z"}'||chr(10)||'with'||chr(10)||'lines');
		SELECT pg_logical_emit_message(true, 'tidings', 'no line')`)
	rows := r.rows(2)
	m := rows[0].Message
	if rows[0].Err != nil || rows[0].Position != 0 || string(m.Payload) != "with\nlines" || m.Headers["a"] != "b" || m.ContentType != "application/json" || m.ID == "" ||
		!m.Time.Equal(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("%+v", rows[0])
	}
	if rows[1].Err == nil || rows[1].Raw == nil {
		t.Errorf("a message without columns: %+v", rows[1])
	}
}

func TestSavepoints(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	r := tail(t, wal.New(db, "shop", wal.Options{}), "one", nil)
	const insert = `INSERT INTO tidings_outbox (channel, type, payload) VALUES ('orders', 'T', '%s');`
	exec(t, db, `BEGIN; `+fmt.Sprintf(insert, "a")+`SAVEPOINT one; `+fmt.Sprintf(insert, "never")+`ROLLBACK TO one; `+
		fmt.Sprintf(insert, "b")+`SAVEPOINT two; `+fmt.Sprintf(insert, "c")+`RELEASE two; COMMIT`)
	var got []string
	for _, row := range r.rows(3) {
		got = append(got, string(row.Message.Payload))
	}
	if strings.Join(got, "") != "abc" {
		t.Errorf("payloads %q", got)
	}
}

// TestLargeTransaction: what a transaction has does not matter to memory, and every
// place within it is one to go on from.
func TestLargeTransaction(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	src := wal.New(db, "shop", wal.Options{})
	r := tail(t, src, "one", nil)
	r.save(r.start.Position)
	const n = 200_000
	exec(t, db, `INSERT INTO tidings_outbox (channel, type, message_key, payload)
		SELECT 'orders', 'T', i, convert_to(repeat('0123456789', 30), 'UTF8') FROM generate_series(1, `+fmt.Sprint(n)+`) AS i`)
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	before, most := memory.HeapAlloc, uint64(0)
	var within []byte
	began := time.Now()
	for at := 0; at < n; {
		b := r.next(1000)
		for i := range b.Rows {
			if at++; b.Rows[i].Message.Key != fmt.Sprint(at) {
				t.Fatalf("row %d has key %s", at, b.Rows[i].Message.Key)
			}
		}
		if at > n/2 && within == nil {
			within = bytes.Clone(b.End)
			most = uint64(at) // the first row behind it is the next one
			r.t.Logf("half of it is at %s", within)
		}
		if at%50_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&memory)
			if memory.HeapAlloc > before+64<<20 {
				t.Errorf("after %d rows the heap has %d bytes more than before", at, memory.HeapAlloc-before)
			}
		}
	}
	t.Logf("%d rows in %s", n, time.Since(began))
	if err := r.Close(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := r.session.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := tail(t, src, "two", within)
	if key := again.next(1).Rows[0].Message.Key; key != fmt.Sprint(most+1) {
		t.Errorf("behind %s comes row %s, want %d", within, key, most+1)
	}
}

func TestClosedLogSaysSo(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	r := tail(t, wal.New(db, "shop", wal.Options{}), "one", nil)
	for range 2 {
		if err := r.Close(t.Context(), false); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.Next(t.Context(), 1, 1); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("Next of a closed log: %v", err)
	}
}
