package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tidings.example"
	"tidings.example/internal/servertest"
	"tidings.example/relay"
)

// migratedAt opens a database and makes its tables.
func migratedAt(t testing.TB, url string) *DB {
	t.Helper()
	db, err := Open(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func acquired(t testing.TB, db *DB) (*session, relay.State) {
	t.Helper()
	s, st, err := db.Relay("shop").Acquire(t.Context(), "relay-1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Release(context.Background()) })
	return s.(*session), st
}

func appendOne(t testing.TB, db *DB, key string) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), db.pool, func(tx pgx.Tx) error {
		return db.Outbox().Append(t.Context(), tx, tidings.Message{Channel: "orders", Key: key, Type: "T", Payload: []byte("{}")})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// notifications counts those that the database has sent when it returns: a
// marker of our own comes behind them.
func notifications(t testing.TB, listener *pgx.Conn, db *DB) int {
	t.Helper()
	if _, err := db.pool.Exec(t.Context(), "SELECT pg_notify('marker', '')"); err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		note, err := listener.WaitForNotification(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if note.Channel == "marker" {
			return n
		}
	}
}

// TestOnlyASleepingRelayIsNotified: a notification is what appenders would
// queue up for.
func TestOnlyASleepingRelayIsNotified(t *testing.T) {
	t.Parallel()
	db := migratedAt(t, servertest.PostgresDatabase(t)) // notifications belong to the database
	s, _ := acquired(t, db)
	listener, err := db.dedicated(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close(context.Background()) }()
	if _, err := listener.Exec(t.Context(), `LISTEN marker; LISTEN "`+channelOf(s)+`"`); err != nil {
		t.Fatal(err)
	}
	appendOne(t, db, "awake")
	if n := notifications(t, listener, db); n != 0 {
		t.Errorf("%d notifications for a relay that is awake", n)
	}
	after := int64(0)
	for range 3 {
		for !s.sleep.locked || !s.sleep.confirmed || s.sleep.stirred {
			after = readAll(t, s, after)
			if err := s.Wait(t.Context(), time.Millisecond); err != nil {
				t.Fatal(err)
			}
			after = readAll(t, s, after)
		}
		appendOne(t, db, "asleep")
		appendOne(t, db, "still asleep")
		if n := notifications(t, listener, db); n != 2 {
			t.Errorf("%d notifications for a relay that sleeps, want 2", n)
		}
		if err := s.Wait(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		after = readAll(t, s, after)
		appendOne(t, db, "awake again")
		if n := notifications(t, listener, db); n != 0 {
			t.Errorf("%d notifications for a relay that woke up", n)
		}
	}
}

func channelOf(s *session) string {
	return fmt.Sprintf("tidings_outbox_%d", s.table)
}

// readAll reads what is above a position and returns the highest one.
func readAll(t testing.TB, s relay.Session, after int64) int64 {
	t.Helper()
	rows, err := s.Read(t.Context(), relay.Query{After: after, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) == 0 {
		return after
	}
	return rows[len(rows)-1].Position
}

func TestRelayIsDurableWhereOthersAreNot(t *testing.T) {
	t.Parallel()
	u := servertest.PostgresSchema(t) + "&synchronous_commit=off"
	db := migratedAt(t, u)
	s, _ := acquired(t, db)
	var level string
	if err := s.work.QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&level); err != nil || level != "on" {
		t.Errorf("synchronous_commit of the relay's connection is %q, %v", level, err)
	}
	if err := db.pool.QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&level); err != nil || level != "off" {
		t.Errorf("synchronous_commit of the pool is %q, %v", level, err)
	}
}

// TestKilledServerKeepsPlans: what a relay has committed is on disk.
func TestKilledServerKeepsPlans(t *testing.T) {
	t.Parallel()
	servers := servertest.Private(t, "postgres")
	db := migratedAt(t, servers.URL("postgres")+"&synchronous_commit=off")
	s, _, err := db.Relay("shop").Acquire(t.Context(), "relay-1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	plan := &relay.Plan{ID: 1, Positions: relay.EncodePositions([]int64{1, 2, 3})}
	if err := s.Commit(t.Context(), relay.Change{Plan: plan}); err != nil {
		t.Fatal(err)
	}
	servers.Kill("postgres")
	if err := s.Commit(t.Context(), relay.Change{Plan: &relay.Plan{ID: 2}}); err == nil || errors.Is(err, relay.ErrFenced) {
		t.Errorf("commit to a killed server: %v", err)
	}
	if _, err := s.Renew(t.Context()); err == nil || errors.Is(err, relay.ErrFenced) {
		t.Errorf("renewal at a killed server: %v", err)
	}
	servers.Start("postgres")
	// The renewal has a new connection; the rest of the session has ended.
	if _, err := s.Renew(t.Context()); err != nil {
		t.Errorf("renewal after the restart: %v", err)
	}
	if err := s.Release(t.Context()); err != nil {
		t.Error(err)
	}
	db.pool.Reset() // its connections are as dead as the session's
	_, st := acquired(t, db)
	if len(st.Plans) != 1 || st.Plans[0].ID != 1 {
		t.Errorf("plans after the kill: %+v", st.Plans)
	}
}

func TestIdentityTellsOutboxesApart(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	original := servertest.PostgresDatabase(t)
	db := migratedAt(t, original)
	s, first := acquired(t, db)
	if err := s.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, again := acquired(t, db)
	if err := s.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if first.Now != again.Now || strings.Contains(first.Now, " - ") {
		t.Errorf("identities of one outbox: %q, %q", first.Now, again.Now)
	}

	// The tables are made again.
	if _, err := db.pool.Exec(t.Context(), "DROP SCHEMA public CASCADE; CREATE SCHEMA public"); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, remade := acquired(t, db)
	if remade.Now == first.Now {
		t.Errorf("an outbox that was made again has the identity %q still", remade.Now)
	}
	if err := s.Release(t.Context()); err != nil {
		t.Fatal(err)
	}

	// The database is copied, file by file.
	u, err := url.Parse(original)
	if err != nil {
		t.Fatal("the URL of the test database cannot be parsed")
	}
	from := strings.TrimPrefix(u.Path, "/")
	name := servertest.Name("copy")
	root, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_, _ = root.Exec(context.Background(), "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
		_ = root.Close(context.Background())
	}()
	db.pool.Reset()
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, err = root.Exec(t.Context(), "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" TEMPLATE "+pgx.Identifier{from}.Sanitize())
		if codeOf(err) != "55006" || time.Now().After(deadline) { // connections are still closing
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	copied := migratedAt(t, u.String())
	s, other := acquired(t, copied)
	if other.Identity != remade.Identity || other.Now == remade.Now {
		t.Errorf("a copied database says %q, the original %q", other.Now, remade.Now)
	}
	if err := s.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestNewUsesTheProgramsPool(t *testing.T) {
	t.Parallel()
	config, err := pgxpool.ParseConfig(servertest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	schema := servertest.PostgresSchema(t)
	u, err := url.Parse(schema)
	if err != nil {
		t.Fatal("the URL of the test schema cannot be parsed")
	}
	// The search path is set the way programs do, after connecting.
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT set_config('search_path', $1, false)", u.Query().Get("search_path"))
		return err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	db := New(pool)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, _ := acquired(t, db)
	appendOne(t, db, "k")
	if readAll(t, s, 0) == 0 {
		t.Error("the session does not find the row")
	}
	if err := s.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if err := pool.Ping(t.Context()); err != nil {
		t.Errorf("the program's pool was closed: %v", err)
	}
}

// TestHugeRowsAreNotRead: somebody has inserted more than a message may have.
func TestHugeRowsAreNotRead(t *testing.T) {
	t.Parallel()
	db := migratedAt(t, servertest.PostgresSchema(t))
	_, err := db.pool.Exec(t.Context(), `INSERT INTO tidings_outbox (channel, type, payload, headers) VALUES
		('c', 'T', convert_to(repeat('x', 17000000), 'UTF8'), NULL), ('c', 'T', 'x', '{"a":"' || repeat('x', 17000000) || '"}'),
		(repeat('c', 17000000), 'T', 'x', NULL), ('c', 'T', 'fine', NULL)`)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := acquired(t, db)
	rows, err := s.Read(t.Context(), relay.Query{Limit: 10})
	if err != nil || len(rows) != 4 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, column := range []string{"payload", "headers", "channel"} {
		err := rows[i].Err
		if err == nil {
			err = rows[i].Message.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), column) {
			t.Errorf("row %d: %v, want an error naming %s", i, err, column)
		}
		if m := rows[i].Message; len(m.Channel)+len(m.Payload) > 10_000 {
			t.Errorf("row %d was read whole", i)
		}
	}
	if rows[3].Err != nil || string(rows[3].Message.Payload) != "fine" {
		t.Errorf("the row behind: %+v", rows[3])
	}
}
