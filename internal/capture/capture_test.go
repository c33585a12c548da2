package capture_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tidings.example/admin"
	"tidings.example/internal/connect"
)

const customers = `CREATE TABLE customers (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(200), note VARCHAR(200))`

var spec = admin.CaptureSpec{Table: "customers", Channel: "customers.changes"}

func TestEachOperation(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, db *connect.Database) {
		exec(t, db, customers)
		c := install(t, db, spec)
		exec(t, db, `INSERT INTO customers (id, name) VALUES (1, 'Ada')`)
		exec(t, db, `UPDATE customers SET name = 'Bo' WHERE id = 1`)
		exec(t, db, `UPDATE customers SET id = 2 WHERE id = 1`)
		exec(t, db, `DELETE FROM customers`)
		ada := map[string]any{"id": 1.0, "name": "Ada", "note": nil}
		bo := map[string]any{"id": 1.0, "name": "Bo", "note": nil}
		bo2 := map[string]any{"id": 2.0, "name": "Bo", "note": nil}
		want := []struct {
			op, suffix, key string
			moved           bool
			old, new        map[string]any
		}{
			{"insert", "inserted", "1", false, nil, ada},
			{"update", "updated", "1", false, ada, bo},
			{"delete", "deleted", "1", true, bo, nil},
			{"insert", "inserted", "2", true, nil, bo2},
			{"delete", "deleted", "2", false, bo2, nil},
		}
		got := take(t, db)
		if len(got) != len(want) {
			t.Fatalf("%d messages: %+v", len(got), got)
		}
		for i, w := range want {
			g := got[i]
			if g.Channel != "customers.changes" || g.Type != "customers."+w.suffix || g.Key.String != w.key || g.Payload.Op != w.op ||
				g.Payload.KeyChanged != w.moved || !maps.Equal(g.Payload.Old, w.old) || !maps.Equal(g.Payload.New, w.new) ||
				g.Payload.Columns != c.Version || g.Payload.Table != "customers" || g.Payload.Schema != c.Schema {
				t.Errorf("message %d is %+v, want %+v", i, g, w)
			}
		}
	})
}

func TestRollBackLeavesNothing(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, db *connect.Database) {
		exec(t, db, customers)
		install(t, db, spec)
		tx, err := db.SQL.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(t.Context(), `INSERT INTO customers (id) VALUES (1)`); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := tx.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM tidings_outbox`).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d rows in the transaction, %v", n, err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if got := take(t, db); len(got) != 0 {
			t.Errorf("the roll-back has left %+v", got)
		}
	})
}

func TestInstallAgain(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, db *connect.Database) {
		ctx := t.Context()
		exec(t, db, customers)
		first := install(t, db, spec)
		again, changed, err := db.Admin.InstallCapture(ctx, spec, act)
		if err != nil || changed || again.Version != first.Version || !again.Since.Equal(first.Since) {
			t.Fatalf("the second installation: changed %v, %v, %+v", changed, err, again)
		}
		other := admin.CaptureSpec{Table: "customers", Channel: "others", Type: "Person", Key: []string{"name", "id"}, Only: []string{"delete", "insert"}, Except: []string{"note"}}
		install(t, db, other)
		exec(t, db, `INSERT INTO customers VALUES (1, 'A "quoted" one', 'x')`)
		exec(t, db, `UPDATE customers SET note = 'y'`)
		m := one(t, db)
		if m.Channel != "others" || m.Type != "Person.inserted" || m.Key.String != `["A \"quoted\" one",1]` || len(m.Payload.New) != 2 {
			t.Errorf("with other settings: %+v", m)
		}
		exec(t, db, `DELETE FROM customers`)
		if m := one(t, db); m.Type != "Person.deleted" {
			t.Errorf("with other settings: %+v", m)
		}
		all, err := db.Admin.Captures(ctx)
		if err != nil || len(all) != 1 || all[0].Channel != "others" || len(all[0].Problems) != 0 || len(all[0].Fields) != 2 ||
			!slices.Equal(all[0].Key, other.Key) {
			t.Errorf("installed is %+v, %v", all, err)
		}
		var audits int
		if err := db.SQL.QueryRowContext(ctx, `SELECT COUNT(*) FROM tidings_audit WHERE action = 'install capture' AND target LIKE '%customers'`).Scan(&audits); err != nil || audits != 2 {
			t.Errorf("%d audit rows, %v", audits, err)
		}
	})
}

func TestRemoveLeavesNothing(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, db *connect.Database) {
		ctx := t.Context()
		exec(t, db, customers)
		count := map[string]string{
			"sqlite":   `SELECT COUNT(*) FROM sqlite_master`,
			"mysql":    `SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = DATABASE()`,
			"postgres": `SELECT (SELECT COUNT(*) FROM pg_trigger WHERE tgrelid = 'customers'::regclass) + (SELECT COUNT(*) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace)`,
		}[db.Kind]
		things := func() (n int) {
			if err := db.SQL.QueryRowContext(ctx, count).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := things()
		install(t, db, spec)
		if things() == before {
			t.Error("nothing was installed")
		}
		if err := db.Admin.RemoveCapture(ctx, "", "customers", act); err != nil {
			t.Fatal(err)
		}
		if after := things(); after != before {
			t.Errorf("%d things before, %d after", before, after)
		}
		exec(t, db, `INSERT INTO customers (id) VALUES (1)`)
		if got := take(t, db); len(got) != 0 {
			t.Errorf("still captured: %+v", got)
		}
		if err := db.Admin.RemoveCapture(ctx, "", "customers", act); !errors.Is(err, admin.ErrNotFound) {
			t.Errorf("removing twice: %v", err)
		}
		if all, err := db.Admin.Captures(ctx); err != nil || len(all) != 0 {
			t.Errorf("installed is %+v, %v", all, err)
		}
	})
}

func TestWrongSpecs(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, db *connect.Database) {
		exec(t, db, customers)
		exec(t, db, `CREATE TABLE keyless (a INTEGER)`)
		for want, s := range map[string]admin.CaptureSpec{
			"not found":      {Table: "absent", Channel: "c"},
			"channel":        {Table: "customers"},
			"Tidings' own":   {Table: "tidings_outbox", Channel: "c"},
			"key is missing": {Table: "keyless", Channel: "c"},
			`column "x"`:     {Table: "customers", Channel: "c", Except: []string{"x"}},
			"together":       {Table: "customers", Channel: "c", Except: []string{"id"}, Columns: []string{"id"}},
			"only":           {Table: "customers", Channel: "c", Only: []string{"select"}},
		} {
			if _, _, err := db.Admin.InstallCapture(t.Context(), s, act); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want %s", s, err, want)
			}
		}
		if _, _, err := db.Admin.InstallCapture(t.Context(), spec, admin.Action{Actor: "x"}); err == nil {
			t.Error("installed without a reason")
		}
	})
}

// TestNames uses names that need quoting, and many columns.
func TestNames(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, db *connect.Database) {
		q := func(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
		if db.Kind == "mysql" {
			q = func(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
		}
		table := "Order \"of\" the `König`'s \\ x"
		columns := []string{"select", "Größe", "a\"b", "c'd", "e`f", `g\h`, "payload", "tidings_limit x", "名前", "i.j"}
		for i := range 150 {
			columns = append(columns, fmt.Sprint("column", i))
		}
		var defined []string
		for _, c := range columns {
			defined = append(defined, q(c)+" INTEGER")
		}
		exec(t, db, `CREATE TABLE `+q(table)+` (`+q("Key")+` INTEGER PRIMARY KEY, `+strings.Join(defined, ", ")+`)`)
		install(t, db, admin.CaptureSpec{Table: table, Channel: "c", Type: "König"[:1] + "onig"})
		exec(t, db, `INSERT INTO `+q(table)+` (`+q("Key")+`, `+q(columns[0])+`, `+q(columns[4])+`) VALUES (1, 2, 3)`)
		m := one(t, db)
		if m.Payload.Table != table || m.Key.String != "1" || len(m.Payload.New) != len(columns)+1 || m.Payload.New["select"] != 2.0 || m.Payload.New["e`f"] != 3.0 {
			t.Errorf("message is %+v", m)
		}
		for _, c := range columns {
			if _, ok := m.Payload.New[c]; !ok {
				t.Errorf("column %q is missing", c)
			}
		}
		exec(t, db, `UPDATE `+q(table)+` SET `+q("Key")+` = 5`)
		exec(t, db, `DELETE FROM `+q(table))
		if got := take(t, db); len(got) != 3 {
			t.Errorf("%d messages", len(got))
		}
		if err := db.Admin.RemoveCapture(context.Background(), "", table, act); err != nil {
			t.Error(err)
		}
	})
}
