package wal

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings.example/internal/servertest"
	"tidings.example/relay"
	"tidings.example/store/postgres"
)

var record = flag.Bool("record", false, "record testdata anew from the server")

// recorded is what a server sends for this, which has one of each kind.
const recorded = `
	INSERT INTO tidings_outbox (id, channel, message_key, type, subject, content_type, headers, payload, created_at) VALUES
		('id-1', 'orders', 'key', 'OrderCreated', 'subject', 'text/plain', '{"a":"b"}', '\x00ff0a', '2030-01-02 03:04:05.678901Z'),
		('id-2', 'orders', NULL, 'OrderCreated', NULL, NULL, NULL, '', '1990-01-02 03:04:05Z');
	WITH i AS (INSERT INTO tidings_outbox_log (id, channel, type, payload, created_at) VALUES ('id-3', 'orders', 'T', 'deleted at once', '2030-01-01Z') RETURNING position)
		SELECT * FROM i;
	DELETE FROM tidings_outbox_log;
	SELECT pg_logical_emit_message(true, 'tidings', '{"id":"id-4","channel":"orders","type":"T","created_at":"2030-01-02T03:04:05Z"}' || chr(10) || 'emitted');
	SELECT pg_logical_emit_message(true, 'others', 'of somebody else');
	CREATE TABLE others (n int);
	INSERT INTO others VALUES (1);
	ALTER TABLE tidings_outbox ADD COLUMN extra text DEFAULT 'more', DROP COLUMN subject;
	INSERT INTO tidings_outbox (id, channel, message_key, type, payload, created_at) VALUES
		('id-5', 'orders', 'key-1234', 'OrderCreated', convert_to(repeat('x', 300), 'UTF8'), '2030-01-02 03:04:05Z'),
		('last', 'orders', 'key-1234', 'OrderCreated', convert_to(repeat('x', 300), 'UTF8'), '2030-01-02 03:04:05Z');`

// TestRecord writes testdata; it runs with -record only.
func TestRecord(t *testing.T) {
	if !*record {
		t.Skip("writes testdata; run with -record for that")
	}
	db, err := postgres.Open(t.Context(), postgres.Config{URL: servertest.PostgresDatabase(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := &opening{Source: New(db, "shop", Options{}), fence: 1}
	session, _, err := o.Acquire(t.Context(), "one", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Release(context.Background()) }()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(o.look(t.Context()))
	_, err = o.publication.ensure(t.Context(), db)
	ok(err)
	o.conn, o.frames, err = connect(t.Context(), db)
	ok(err)
	at, err := o.begin(t.Context())
	ok(err)
	_, err = o.follow(t.Context(), at)
	ok(err)
	defer func() {
		o.abandon(context.Background())
		ok(o.drop(context.Background(), o.slot, 1))
	}()
	for statement := range strings.SplitSeq(recorded, ";\n") {
		_, err = db.Pool().Exec(t.Context(), statement)
		ok(err)
	}
	var messages []byte
	d := decoder{schema: "public", at: at}
	for last := false; !last || d.inside; {
		kind, content, cut, err := o.frames.next()
		ok(err)
		if kind != 'd' || content[0] != 'w' || cut != 0 {
			continue
		}
		messages = binary.BigEndian.AppendUint32(messages, uint32(len(content)-25))
		messages = append(messages, content[25:]...)
		_, row, err := d.take(content[25:], 0)
		ok(err)
		last = last || row.Message.ID == "last"
	}
	var version string
	ok(db.Pool().QueryRow(t.Context(), `SELECT split_part(current_setting('server_version'), ' ', 1)`).Scan(&version))
	ok(os.WriteFile(filepath.Join("testdata", "pgoutput-"+version+".bin"), messages, 0o644))
	ok(os.WriteFile(filepath.Join("testdata", "pgoutput-"+version+".txt"), []byte(describe(t, messages)), 0o644))
}

// split cuts a recording into messages.
func split(recording []byte) (messages [][]byte) {
	for len(recording) >= 4 {
		n := min(int(binary.BigEndian.Uint32(recording)), len(recording)-4)
		messages = append(messages, recording[4:4+n])
		recording = recording[4+n:]
	}
	return messages
}

// describe decodes a recording into text.
func describe(t testing.TB, recording []byte) string {
	t.Helper()
	d := decoder{schema: "public"}
	var b strings.Builder
	for _, m := range split(recording) {
		e, row, err := d.take(m, 0)
		if err != nil {
			t.Fatal(err)
		}
		switch e {
		case aRow:
			r := row.Message
			fmt.Fprintf(&b, "%s row %d: id %q channel %q key %q type %q subject %q content type %q headers %v payload %q time %s error %v\n",
				d.at, row.Position, r.ID, r.Channel, r.Key, r.Type, r.Subject, r.ContentType, r.Headers, r.Payload, r.Time.Format(time.RFC3339Nano), row.Err)
		case aCommit:
			fmt.Fprintf(&b, "%s commit at %s\n", d.at, timeOf(d.committed).Format(time.RFC3339Nano))
		}
	}
	return b.String()
}

func recordings(t testing.TB) []string {
	t.Helper()
	all, err := filepath.Glob("testdata/pgoutput-*.bin")
	if err != nil || len(all) == 0 {
		t.Fatalf("there are no recordings: %v", err)
	}
	return all
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordingsOfServers(t *testing.T) {
	t.Parallel()
	for _, path := range recordings(t) {
		want := string(readFile(t, strings.TrimSuffix(path, ".bin")+".txt"))
		if got := describe(t, readFile(t, path)); got != want {
			t.Errorf("%s:\n%swant\n%s", path, got, want)
		}
	}
}

// FuzzDecoder: whatever comes, it is an error or rows with bounded parts.
func FuzzDecoder(f *testing.F) {
	for _, path := range recordings(f) {
		f.Add(readFile(f, path), 0)
	}
	f.Add([]byte("\x00\x00\x00\x01I"), 7)
	f.Fuzz(func(t *testing.T, recording []byte, cut int) {
		d := decoder{schema: "public"}
		before := d.at
		for _, m := range split(recording) {
			e, row, err := d.take(m, max(cut, 0))
			if err != nil {
				return
			}
			if d.at.lsn < before.lsn || d.at.lsn == before.lsn && d.at.rows < before.rows {
				t.Fatalf("the position goes back from %s to %s", before, d.at)
			}
			if before = d.at; e == aRow && row.Err != nil && row.Raw == nil {
				t.Fatalf("a row with the error %q is not kept", row.Err)
			}
		}
	})
}

func FuzzPosition(f *testing.F) {
	for _, s := range []string{"0/0", "0/16B3748", "16/B3748+12", "0/16B3748+0", "/", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := parsePosition(text); err == nil && p.String() != text {
			t.Errorf("%q became %q", text, p)
		}
	})
}

// BenchmarkDecode decodes rows of 300 bytes, as the server has sent them.
func BenchmarkDecode(b *testing.B) {
	var prefix [][]byte
	var insert []byte
	for _, m := range split(readFile(b, recordings(b)[0])) {
		if m[0] == 'I' {
			insert = m
		}
		prefix = append(prefix, m)
	}
	d := decoder{schema: "public"}
	for _, m := range prefix[:len(prefix)-1] { // without the last commit
		if _, _, err := d.take(m, 0); err != nil {
			b.Fatal(err)
		}
	}
	frame := append(binary.BigEndian.AppendUint32([]byte{'d'}, uint32(4+25+len(insert))), make([]byte, 25)...)
	frame[5] = 'w'
	frame = append(frame, insert...)
	q := newQueue(position{})
	s := &stream{frames: &framer{from: &endless{b: frame}}, queue: q, decode: d, began: time.Now()}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	done := make(chan struct{})
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	b.ResetTimer()
	go func() {
		defer close(done)
		_ = s.read(ctx) // until ctx is done
	}()
	var rows []relay.Row
	for n := 0; n < b.N; n += len(rows) {
		if rows, _, _ = q.take(1000, 1<<20); len(rows) == 0 {
			<-q.filled
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	cancel()
	q.fail(errClosed)
	<-done
}

// endless repeats its bytes.
type endless struct {
	b  []byte
	at int
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		c := copy(p[n:], e.b[e.at:])
		n += c
		e.at = (e.at + c) % len(e.b)
	}
	return n, nil
}
