package capture_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tidings.example/admin"
	"tidings.example/internal/connect"
	"tidings.example/internal/servertest"
)

// TestStatements lists what becomes of statements that are more than one change.
func TestStatements(t *testing.T) {
	t.Parallel()
	all := []struct {
		kind, statement string
		want            string
	}{
		{"", `INSERT INTO t (id, a) VALUES (1, 1), (2, 2), (3, 3)`, "insert 1, insert 2, insert 3"},
		{"", `UPDATE t SET a = a + 10`, "update 1, update 2, update 3"},
		{"", `UPDATE t SET a = a WHERE id = 1`, "update 1"},
		{"", `INSERT INTO t (id, a) SELECT id + 10, a FROM t WHERE id < 3`, "insert 11, insert 12"},
		{"sqlite", `INSERT INTO t (id, a) VALUES (1, 5), (4, 5) ON CONFLICT (id) DO UPDATE SET a = 0`, "update 1, insert 4"},
		{"postgres", `INSERT INTO t (id, a) VALUES (1, 5), (4, 5) ON CONFLICT (id) DO UPDATE SET a = 0`, "update 1, insert 4"},
		{"mysql", `INSERT INTO t (id, a) VALUES (1, 5), (4, 5) ON DUPLICATE KEY UPDATE a = 0`, "update 1, insert 4"},
		{"sqlite", `INSERT OR IGNORE INTO t (id, a) VALUES (1, 5)`, ""},
		{"postgres", `INSERT INTO t (id, a) VALUES (1, 5) ON CONFLICT DO NOTHING`, ""},
		{"mysql", `INSERT IGNORE INTO t (id, a) VALUES (1, 5)`, ""},
		{"mysql", `REPLACE INTO t (id, a) VALUES (1, 6)`, "delete 1, insert 1"},
		{"sqlite", `REPLACE INTO t (id, a) VALUES (1, 6)`, "insert 1"}, // as docs/capture.md says
		{"postgres", `WITH d AS (DELETE FROM t WHERE id = 1 RETURNING *) INSERT INTO t SELECT 100, a FROM d`, "delete 1, insert 100"},
		{"postgres", `TRUNCATE t CASCADE`, "truncate "},
		{"postgres", `INSERT INTO t (id, a) VALUES (7, 7)`, "insert 7"},
		{"", `DELETE FROM t WHERE id > 6`, "*"},
		{"", `DELETE FROM t`, "*"},
		{"", `INSERT INTO t (id, a) VALUES (1, 1)`, "insert 1"},
	}
	eachStore(t, func(t *testing.T, db *connect.Database) {
		exec(t, db, `CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)`)
		install(t, db, admin.CaptureSpec{Table: "t", Channel: "c"})
		for _, s := range all {
			if s.kind != "" && s.kind != db.Kind {
				continue
			}
			exec(t, db, s.statement)
			var got []string
			for _, m := range take(t, db) {
				got = append(got, m.Payload.Op+" "+m.Key.String)
			}
			if s.want != "*" && strings.Join(got, ", ") != s.want {
				t.Errorf("%s: %q, want %q", s.statement, got, s.want)
			}
		}
	})
}

// TestCascades: foreign keys change rows with triggers or without.
func TestCascades(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, db *connect.Database) {
		exec(t, db, `CREATE TABLE parents (id INTEGER PRIMARY KEY)`)
		exec(t, db, `CREATE TABLE children (id INTEGER PRIMARY KEY, p INTEGER, CONSTRAINT cascades FOREIGN KEY (p) REFERENCES parents (id) ON DELETE CASCADE)`)
		install(t, db, admin.CaptureSpec{Table: "children", Channel: "c"})
		conn, err := db.SQL.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		script := []string{`INSERT INTO parents (id) VALUES (1)`, `INSERT INTO children (id, p) VALUES (2, 1)`, `DELETE FROM parents`}
		if db.Kind == "sqlite" {
			script = append([]string{`PRAGMA foreign_keys = ON`}, script...)
		}
		for _, s := range script {
			if _, err := conn.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		got := take(t, db)
		if db.Kind != "mysql" {
			if len(got) != 2 || got[1].Payload.Op != "delete" {
				t.Errorf("captured %+v", got)
			}
			return
		}
		warned := slices.ContainsFunc(db.Admin.Doctor(t.Context()), func(f admin.Finding) bool {
			return f.Name == "capture" && f.Status == admin.Warn && strings.Contains(f.Detail, "cascades")
		})
		if len(got) != 1 || !warned {
			t.Errorf("captured %d, warned %v", len(got), warned)
		}
	})
}

// TestPostgres: a service without rights on the outbox, COPY, partitions, and a
// hostile search_path.
func TestPostgres(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := servertest.PostgresDatabase(t)
	db, err := connect.OpenDatabase(ctx, url, connect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Admin.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	role := servertest.Name("tidings_app")
	exec(t, db, `CREATE SCHEMA shop`)
	exec(t, db, `CREATE TABLE shop.orders (id integer, region text, total numeric, PRIMARY KEY (region, id)) PARTITION BY LIST (region)`)
	exec(t, db, `CREATE TABLE shop.orders_de PARTITION OF shop.orders FOR VALUES IN ('de')`)
	exec(t, db, `CREATE TABLE shop.orders_fr PARTITION OF shop.orders FOR VALUES IN ('fr')`)
	install(t, db, admin.CaptureSpec{Schema: "shop", Table: "orders", Channel: "orders"})
	exec(t, db, `CREATE TABLE shop.orders_it PARTITION OF shop.orders FOR VALUES IN ('it')`)
	exec(t, db, `CREATE ROLE `+role+` LOGIN PASSWORD 'x'`)
	defer exec(t, db, `DROP ROLE `+role)
	exec(t, db, `GRANT USAGE, CREATE ON SCHEMA shop TO `+role)
	exec(t, db, `GRANT ALL ON ALL TABLES IN SCHEMA shop TO `+role)
	defer exec(t, db, `DROP OWNED BY `+role)

	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.User, config.Password = role, "x"
	config.RuntimeParams["search_path"] = "shop"
	app, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close(ctx)
	run := func(query string) {
		t.Helper()
		if _, err := app.Exec(ctx, query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	// What stands earlier in the writer's path must not be called.
	run(`CREATE FUNCTION shop.to_json(numeric) RETURNS json LANGUAGE sql AS $$ SELECT '"stolen"'::json $$`)
	run(`CREATE FUNCTION shop.convert_to(text, text) RETURNS bytea LANGUAGE sql AS $$ SELECT 'stolen'::bytea $$`)
	run(`CREATE TEMP TABLE tidings_outbox (channel text, message_key text, type text, payload bytea)`)
	if _, err := app.CopyFrom(ctx, pgx.Identifier{"orders"}, []string{"id", "region", "total"},
		pgx.CopyFromRows([][]any{{1, "de", 1.5}, {2, "it", nil}})); err != nil {
		t.Fatal(err)
	}
	run(`UPDATE orders SET region = 'fr' WHERE region = 'de'`)
	run(`UPDATE orders_fr SET total = 2`)
	run(`TRUNCATE orders`)
	var got []string
	for _, m := range take(t, db) {
		got = append(got, m.Payload.Op+" "+m.Key.String)
		if m.Payload.Table != "orders" || m.Payload.Schema != "shop" {
			t.Errorf("message %+v", m)
		}
	}
	want := []string{`insert ["de",1]`, `insert ["it",2]`, `delete ["de",1]`, `insert ["fr",1]`, `update ["fr",1]`, "truncate "}
	if !slices.Equal(got, want) {
		t.Errorf("captured %q, want %q", got, want)
	}
	if _, err := app.Exec(ctx, `SELECT 1 FROM public.tidings_outbox`); err == nil {
		t.Error("the service may read the outbox")
	}
	if err := db.Admin.RemoveCapture(ctx, "shop", "orders", act); err != nil {
		t.Error(err)
	}
	run(`INSERT INTO orders VALUES (1, 'de')`)
	if got := take(t, db); len(got) != 0 {
		t.Errorf("still captured: %+v", got)
	}
}
