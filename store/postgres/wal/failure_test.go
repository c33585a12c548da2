package wal_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings.example/internal/servertest"
	"tidings.example/relay"
	"tidings.example/store/postgres"
	"tidings.example/store/postgres/wal"
)

const oneRow = `INSERT INTO tidings_outbox (channel, type, payload) VALUES ('orders', 'T', 'x')`

// until waits for a condition that the server brings about.
func until(t testing.TB, what string, reached func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !reached() {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about", what)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// fails reads until an error comes, and returns how long that took.
func (r *reader) fails() (time.Duration, error) {
	r.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for {
		if _, err := r.Next(ctx, 1000, 1<<20); err != nil {
			if ctx.Err() != nil {
				r.t.Fatal("the reader does not notice")
			}
			return time.Since(began), err
		}
	}
}

// TestADeadReadersLeaseIsTaken: its lease would be good for an hour.
func TestADeadReadersLeaseIsTaken(t *testing.T) {
	t.Parallel()
	db, slot := open(t)
	r := tail(t, wal.New(db, "shop", wal.Options{}), "one", nil)
	r.save(r.start.Position)
	standby := wal.New(db, "shop", wal.Options{})
	var held *relay.HeldError
	for range 3 {
		if _, _, err := standby.Acquire(t.Context(), "two", time.Hour); !errors.As(err, &held) {
			t.Fatalf("the lease of a reader that lives: %v", err)
		}
	}
	// As the server does when the process has died.
	exec(t, db, `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '`+slot+`'`)
	exec(t, db, `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1952738924
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	began := time.Now()
	var next *reader
	until(t, "the take-over", func() bool {
		s, st, err := standby.Acquire(t.Context(), "two", time.Hour)
		if err != nil {
			return false
		}
		l, start, err := standby.Tail(t.Context(), s, st)
		if err != nil || start.Fresh {
			t.Fatalf("the log of the next one: %+v, %v", start, err)
		}
		next = &reader{Log: l, t: t, session: s}
		return true
	})
	defer func() {
		_ = next.Close(context.Background(), false)
		_ = next.session.Release(context.Background())
	}()
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("the take-over took %s", took)
	}
	exec(t, db, oneRow)
	next.rows(1)
	if err := r.session.Commit(t.Context(), relay.Change{Log: &relay.Checkpoint{Position: r.start.Position}}); !errors.Is(err, relay.ErrFenced) {
		t.Errorf("the first one commits: %v", err)
	}
}

// TestAPollingRelayIsNotTakenForDead: it has no slot, or one that it does not read.
func TestAPollingRelayIsNotTakenForDead(t *testing.T) {
	t.Parallel()
	db, slot := open(t)
	s, _, err := db.Relay("shop").Acquire(t.Context(), "one", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Release(context.Background()) }()
	exec(t, db, `SELECT pg_create_logical_replication_slot('`+slot+`', 'pgoutput')`)
	standby := wal.New(db, "shop", wal.Options{})
	for range 3 {
		var held *relay.HeldError
		if _, _, err := standby.Acquire(t.Context(), "two", time.Hour); !errors.As(err, &held) {
			t.Fatalf("the lease of a polling relay: %v", err)
		}
	}
}

func TestATerminatedReaderReadsOn(t *testing.T) {
	t.Parallel()
	db, slot := open(t)
	src := wal.New(db, "shop", wal.Options{})
	r := tail(t, src, "one", nil)
	r.save(r.start.Position)
	exec(t, db, oneRow)
	r.rows(1)
	exec(t, db, `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '`+slot+`'`)
	if took, err := r.fails(); took > 5*time.Second {
		t.Errorf("%s until %v", took, err)
	}
	again := tail(t, src, "one", nil)
	if again.start.Fresh {
		t.Errorf("start %+v", again.start)
	}
	again.rows(1)
}

// TestHalfOpenConnection: the network forgets a connection, and tells nobody.
func TestHalfOpenConnection(t *testing.T) {
	t.Parallel()
	at := servertest.PostgresDatabase(t)
	direct, _ := openAt(t, at)
	exec(t, direct, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET wal_sender_timeout = 3000', current_database()); END $$`)
	proxy := newProxy(t, at)
	through, err := postgres.Open(t.Context(), postgres.Config{URL: proxy.url})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = through.Close() }()
	s, st, err := wal.New(through, "shop", wal.Options{}).Acquire(t.Context(), "one", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	l, start, err := wal.New(through, "shop", wal.Options{}).Tail(t.Context(), s, st)
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{Log: l, t: t, session: s}
	r.save(start.Position)
	exec(t, direct, oneRow)
	r.rows(1)
	proxy.silent.Store(true)
	exec(t, direct, oneRow)
	took, err := r.fails()
	if t.Logf("noticed after %s: %v", took, err); took > 4*time.Second {
		t.Errorf("it took %s", took)
	}
	// The server does not know yet. Whoever has the lease next ends what is left.
	exec(t, direct, `UPDATE tidings_relay SET expires_at = clock_timestamp()`)
	next := tail(t, wal.New(direct, "shop", wal.Options{}), "two", nil)
	if next.start.Fresh {
		t.Errorf("start %+v", next.start)
	}
	next.rows(2)
	proxy.close()
	_ = l.Close(context.Background(), false)
	_ = s.Release(context.Background())
}

// A proxy forwards connections until it is silent.
type proxy struct {
	url    string
	silent atomic.Bool
	mu     sync.Mutex
	open   []net.Conn
	closer func()
}

func newProxy(t testing.TB, server string) *proxy {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal("the URL of the server cannot be parsed")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{closer: func() { _ = listener.Close() }}
	target := u.Host
	u.Host = listener.Addr().String()
	p.url = u.String()
	t.Cleanup(p.close)
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", target)
			if err != nil {
				_ = from.Close()
				continue
			}
			p.mu.Lock()
			p.open = append(p.open, from, to)
			p.mu.Unlock()
			go p.copy(to, from)
			go p.copy(from, to)
		}
	}()
	return p
}

func (p *proxy) copy(to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if p.silent.Load() {
			if err != nil && !errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				return // and the other side stays open
			}
			continue
		}
		if n > 0 {
			_, _ = to.Write(b[:n])
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

func (p *proxy) close() {
	p.closer()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		_ = c.Close()
	}
}

// TestServerStopsAndLosesTheLog has a server of its own.
func TestServerStopsAndLosesTheLog(t *testing.T) {
	t.Setenv("TIDINGS_POSTGRES_KEEP", "1MB")
	servers := servertest.Private(t, "postgres")
	db, slot := openAt(t, servers.URL("postgres"))
	src := wal.New(db, "shop", wal.Options{})
	r := tail(t, src, "one", nil)
	r.save(r.start.Position)
	exec(t, db, oneRow)
	r.rows(1)
	// A server that stops waits for its log to be confirmed, which is not done here.
	began := time.Now()
	servers.Restart("postgres")
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the server needed %s to start again", took)
	}
	if _, err := r.fails(); errors.Is(err, relay.ErrLogLost) {
		t.Errorf("the server keeps the log, and the reader says: %v", err)
	}
	_ = r.Close(t.Context(), false)
	r = tail(t, src, "one", nil)
	if r.start.Fresh {
		t.Fatalf("start after a restart: %+v", r.start)
	}
	r.rows(1)

	exec(t, db, `CREATE TABLE others (t text)`)
	until(t, "the loss of the slot", func() bool {
		exec(t, db, `INSERT INTO others SELECT md5(i::text) FROM generate_series(1, 100000) AS i`)
		exec(t, db, `SELECT pg_switch_wal()`)
		exec(t, db, `CHECKPOINT`)
		var status string
		err := db.Pool().QueryRow(t.Context(), `SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1`, slot).Scan(&status)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			t.Fatal(err)
		}
		return status == "lost"
	})
	if _, err := r.fails(); !errors.Is(err, relay.ErrLogLost) {
		t.Errorf("the log ends with: %v", err)
	}
	if err := r.Close(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	r = tail(t, src, "one", nil)
	if t.Logf("lost: %s", r.start.Lost); !r.start.Fresh || r.start.Lost == "" {
		t.Fatalf("start after the slot was lost: %+v", r.start)
	}
	rows, err := r.Before(t.Context(), relay.Query{After: 0, Limit: 10, Bytes: 1 << 20})
	if err != nil || len(rows) != 1 {
		t.Errorf("%d rows before the start, %v", len(rows), err)
	}
	r.save(r.start.Position)
	exec(t, db, oneRow)
	r.rows(1)
}
