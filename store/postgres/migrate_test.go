package postgres

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"tidings.example/internal/migrate"
	"tidings.example/internal/servertest"
	"tidings.example/relay"
)

// migratedTo applies the migrations up to a version.
func migratedTo(t *testing.T, db *DB, names ...string) {
	t.Helper()
	files := fstest.MapFS{}
	for _, name := range names {
		text, err := os.ReadFile("migrations/" + name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: text}
	}
	pool := db.utc()
	defer func() { _ = pool.Close() }()
	set := migrate.Set{Dialect: migrate.Postgres, Files: files}
	if _, err := set.Up(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
}

func execAll(t *testing.T, db *DB, all ...string) {
	t.Helper()
	for _, query := range all {
		if _, err := db.pool.Exec(t.Context(), query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
}

// TestRowsSurviveThePartitions: an outbox with rows, a relay, roles and a
// history becomes one with partitions, and is the same outbox.
func TestRowsSurviveThePartitions(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{URL: servertest.PostgresSchema(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	migratedTo(t, db, "00001_outbox.sql", "00002_inbox.sql")

	app, leader := servertest.Name("app"), servertest.Name("relay")
	t.Cleanup(func() {
		root, err := pgx.Connect(context.Background(), servertest.Postgres(t))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = root.Close(context.Background()) }()
		for _, role := range []string{app, leader} {
			if _, err := root.Exec(context.Background(), fmt.Sprintf("DROP OWNED BY %[1]s; DROP ROLE %[1]s", pgx.Identifier{role}.Sanitize())); err != nil {
				t.Error(err)
			}
		}
	})
	execAll(t, db,
		"CREATE ROLE "+pgx.Identifier{app}.Sanitize(), "CREATE ROLE "+pgx.Identifier{leader}.Sanitize(),
		"GRANT INSERT (channel, type, payload) ON tidings_outbox TO "+pgx.Identifier{app}.Sanitize(),
		"GRANT SELECT, INSERT, DELETE ON tidings_outbox TO "+pgx.Identifier{leader}.Sanitize(),
		"GRANT SELECT, INSERT, DELETE ON tidings_outbox_aside TO "+pgx.Identifier{leader}.Sanitize(),
		"GRANT SELECT, INSERT, UPDATE ON tidings_relay TO "+pgx.Identifier{leader}.Sanitize(),
		`INSERT INTO tidings_outbox (id, channel, message_key, type, payload)
			SELECT 'id-' || n, 'orders', 'k' || n % 7, 'T', convert_to(repeat('x', 3000), 'UTF8') FROM generate_series(1, 500) AS n`,
		`SELECT setval('tidings_outbox_position_seq', 200000)`,
		`INSERT INTO tidings_outbox (id, channel, type, payload, headers) VALUES ('id-last', 'orders', 'T', '', '{"tenant":"x"}')`,
		`INSERT INTO tidings_relay (source, holder, fence, expires_at, epoch, lanes) VALUES ('shop', 'old', 7, now() + interval '1 hour', 'one', 4)`,
		`INSERT INTO tidings_relay_plan VALUES ('shop', 1, '\x0101')`,
		`INSERT INTO tidings_outbox_aside (position, channel, message_key, reason) VALUES (1000, 'orders', 'k1', 'bad'), (900, 'orders', 'k1', 'bad')`)
	var made, before string
	err = pgx.BeginFunc(t.Context(), db.pool, func(tx pgx.Tx) (err error) {
		if err = tx.QueryRow(t.Context(), `SELECT made FROM tidings_relay`).Scan(&made); err == nil {
			before, err = identity(t.Context(), tx, made)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.pool.Exec(t.Context(), `UPDATE tidings_relay SET identity = $1`, before); err != nil {
		t.Fatal(err)
	}

	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	// The lease is free at once, and the one who had it is fenced.
	x, st := acquired(t, db)
	if st.Identity != st.Now || st.Identity == before || st.Epoch != "one" || st.Fence <= 7 || len(st.Plans) != 1 || st.Plans[0].Aside {
		t.Errorf("state: %+v, was of %s", st, before)
	}
	rows, err := x.Read(t.Context(), relay.Query{Limit: 1000, Bytes: 1 << 30})
	if err != nil || len(rows) != 501 {
		t.Fatalf("read %d rows, %v", len(rows), err)
	}
	for i, r := range rows[:500] {
		if r.Err != nil || r.Position != int64(i+1) || r.Message.ID != fmt.Sprintf("id-%d", i+1) || len(r.Message.Payload) != 3000 {
			t.Fatalf("row %d: %+v", i, r)
		}
	}
	if last := rows[500]; last.Position != 200001 || last.Message.Headers["tenant"] != "x" {
		t.Errorf("the last row: %+v", last)
	}
	aside, err := db.ReadAside(t.Context(), relay.AsideQuery{Key: relay.HeldKey{Channel: "orders", Key: "k1"}})
	if err != nil || len(aside) != 2 || aside[0].Position != 900 {
		t.Errorf("set aside: %+v, %v", aside, err)
	}
	appendOne(t, db, "next")
	if high := readAll(t, x, 200001); high != 200002 {
		t.Errorf("the next row has position %d", high)
	}

	may := func(role, table, privilege string) {
		t.Helper()
		var ok bool
		if err := db.pool.QueryRow(t.Context(), `SELECT has_table_privilege($1, $2::regclass, $3)`, role, table, privilege).Scan(&ok); err != nil || !ok {
			t.Errorf("%s may not %s %s: %v", strings.SplitN(role, "_", 2)[0], privilege, table, err)
		}
	}
	may(leader, "tidings_outbox", "DELETE")
	may(leader, "tidings_outbox_3", "TRUNCATE")
	may(leader, "tidings_outbox_log_0", "TRUNCATE")
	may(leader, "tidings_outbox_aside", "UPDATE")
	may(leader, "tidings_relay_log", "UPDATE")
	conn, err := db.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	var schema string
	if err := conn.QueryRow(t.Context(), "SELECT current_schema()").Scan(&schema); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"GRANT USAGE ON SCHEMA " + schema + " TO " + pgx.Identifier{app}.Sanitize(), "SET ROLE " + pgx.Identifier{app}.Sanitize(),
		"INSERT INTO tidings_outbox (channel, type, payload) VALUES ('orders', 'T', '')", "RESET ROLE"} {
		if _, err := conn.Exec(t.Context(), query); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// TestPublicationIsMade with what the log's reader needs, where it can be.
func TestPublicationIsMade(t *testing.T) {
	t.Parallel()
	db := migratedAt(t, servertest.PostgresDatabase(t))
	slot, publication, err := db.LogNames(t.Context())
	if err != nil || !strings.HasPrefix(slot, "tidings_") || len(slot) > 63 {
		t.Fatal(slot, err)
	}
	var tables []string
	var exact bool
	err = db.pool.QueryRow(t.Context(), `SELECT ARRAY(SELECT tablename::text FROM pg_publication_tables WHERE pubname = p.pubname ORDER BY 1),
		pubinsert AND NOT pubupdate AND NOT pubdelete AND NOT pubtruncate AND pubviaroot FROM pg_publication p WHERE pubname = $1`, publication).Scan(&tables, &exact)
	if err != nil || !exact || strings.Join(tables, " ") != "tidings_outbox tidings_outbox_log" {
		t.Errorf("publication %s of %v, exact %t, %v", publication, tables, exact, err)
	}
}

// TestMigrationWithoutRights: whoever owns a schema and nothing else migrates as well.
func TestMigrationWithoutRights(t *testing.T) {
	t.Parallel()
	database := servertest.PostgresDatabase(t)
	root := migratedAt(t, database) // in another schema, which is not in the way
	owner := servertest.Name("owner")
	quoted := pgx.Identifier{owner}.Sanitize()
	t.Cleanup(func() {
		if _, err := root.pool.Exec(context.Background(), fmt.Sprintf("DROP OWNED BY %[1]s CASCADE; DROP ROLE %[1]s", quoted)); err != nil {
			t.Error(err)
		}
	})
	execAll(t, root, "CREATE ROLE "+quoted+" LOGIN PASSWORD 'test'", "CREATE SCHEMA theirs AUTHORIZATION "+quoted)
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal("the URL of the test database cannot be parsed")
	}
	u.User = url.UserPassword(owner, "test")
	u.RawQuery += "&search_path=theirs"
	db := migratedAt(t, u.String())
	if err := db.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	_, publication, err := db.LogNames(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var made bool
	err = db.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_publication WHERE pubname = $1)`, publication).Scan(&made)
	if err != nil || made {
		t.Errorf("the publication was made: %t, %v", made, err)
	}
}
