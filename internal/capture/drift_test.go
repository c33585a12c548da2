package capture_test

import (
	"context"
	"strings"
	"testing"

	"tidings.example/admin"
	"tidings.example/internal/connect"
)

// problems are what doctor reports of captures, in one text.
func problems(t *testing.T, db *connect.Database) string {
	t.Helper()
	var all []string
	for _, f := range db.Admin.Doctor(context.Background()) {
		if strings.HasPrefix(f.Name, "capture") && f.Status == admin.Fail {
			all = append(all, f.Detail+" -> "+f.Advice)
		}
	}
	return strings.Join(all, "\n")
}

// TestDoctorFindsChangedColumns, and installing again cures it.
func TestDoctorFindsChangedColumns(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, db *connect.Database) {
		exec(t, db, `CREATE TABLE customers (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(200), note VARCHAR(200), secret VARCHAR(20), region INTEGER)`)
		except := spec
		except.Except = []string{"secret"}
		first := install(t, db, except)
		if p := problems(t, db); p != "" {
			t.Fatalf("problems of a new capture: %s", p)
		}
		steps := []struct{ kinds, change, want string }{
			{"sqlite mysql postgres", `ALTER TABLE customers ADD COLUMN age INTEGER`, `column "age" is new`},
			{"mysql postgres", `ALTER TABLE customers DROP COLUMN secret`, `column "secret" is gone`},
			{"mysql", `ALTER TABLE customers MODIFY name VARCHAR(300)`, `column "name" was varchar(200) and is varchar(300)`},
			{"mysql", `ALTER TABLE customers DROP COLUMN note`, `column "note" is gone`},
			{"mysql", `ALTER TABLE customers MODIFY region INTEGER NOT NULL, DROP PRIMARY KEY, ADD PRIMARY KEY (region, id)`, `primary key was (id) and is (region, id)`},
			{"postgres", `ALTER TABLE customers DROP CONSTRAINT customers_pkey, ADD PRIMARY KEY (region, id)`, `primary key was (id) and is (region, id)`},
			{"postgres", `ALTER TABLE customers RENAME COLUMN note TO remark`, `column "note" is gone`},
			{"sqlite", `ALTER TABLE customers RENAME COLUMN note TO remark`, `column "note" is gone`},
			{"postgres", `ALTER TABLE customers DISABLE TRIGGER tidings_capture_update`, `disabled`},
			{"postgres", `DROP TRIGGER tidings_capture_update ON customers`, `missing`},
			{"sqlite mysql postgres", `ALTER TABLE customers RENAME TO clients`, `customers and is`},
		}
		table := "customers"
		for _, step := range steps {
			if !strings.Contains(step.kinds, db.Kind) {
				continue
			}
			exec(t, db, step.change)
			if p := problems(t, db); !strings.Contains(p, step.want) || !strings.Contains(p, "install") {
				t.Errorf("after %s doctor says %q", step.change, p)
			}
			if strings.Contains(step.change, "RENAME TO") {
				table = "clients"
			}
			if strings.Contains(step.change, "secret") {
				except.Except = nil
			}
			again := except
			again.Table = table
			if c := install(t, db, again); strings.Contains(step.change, "ADD COLUMN") && c.Version == first.Version {
				t.Error("the version of the columns is the same with another one")
			}
			if p := problems(t, db); p != "" {
				t.Errorf("after %s and another installation: %s", step.change, p)
			}
		}
		exec(t, db, `INSERT INTO clients (id, name, age, region) VALUES (1, 'Ada', 36, 2)`)
		if m := one(t, db); m.Payload.New["age"] != 36.0 || m.Payload.Table != "clients" {
			t.Errorf("after the changes: %+v", m)
		}
		exec(t, db, `DROP TABLE clients`)
		if all, err := db.Admin.Captures(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("captures of a dropped table: %+v, %v", all, err)
		}
	})
}

// TestNewTableOfAnOldName: what was installed for the old table stays its own.
func TestNewTableOfAnOldName(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, db *connect.Database) {
		exec(t, db, customers)
		install(t, db, spec)
		exec(t, db, `ALTER TABLE customers RENAME TO old_customers`)
		exec(t, db, customers)
		other := admin.CaptureSpec{Table: "customers", Channel: "others"}
		if _, _, err := db.Admin.InstallCapture(t.Context(), other, act); err == nil {
			t.Fatal("the triggers of a renamed table were taken over")
		}
		exec(t, db, `INSERT INTO old_customers (id) VALUES (1)`)
		exec(t, db, `INSERT INTO customers (id) VALUES (2)`)
		if m := one(t, db); m.Channel != "customers.changes" || m.Key.String != "1" {
			t.Errorf("captured %+v", m)
		}
		renamed := spec
		renamed.Table = "old_customers"
		install(t, db, renamed)
		install(t, db, other)
		exec(t, db, `DELETE FROM old_customers`)
		exec(t, db, `DELETE FROM customers`)
		if got := take(t, db); len(got) != 2 || got[0].Channel != "customers.changes" || got[1].Channel != "others" {
			t.Errorf("captured %+v", got)
		}
		// A table that was dropped is in nobody's way.
		exec(t, db, `DROP TABLE customers`)
		exec(t, db, customers)
		install(t, db, other)
	})
}

// TestColumnsInUseAreKept: no change of a row is lost silently.
func TestColumnsInUseAreKept(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, db *connect.Database) {
		exec(t, db, customers)
		install(t, db, spec)
		_, err := db.SQL.ExecContext(t.Context(), `ALTER TABLE customers DROP COLUMN note`)
		if db.Kind == "mysql" {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.SQL.ExecContext(t.Context(), `INSERT INTO customers (id) VALUES (1)`); err == nil {
				t.Error("a row was written whose message was not")
			}
			return
		}
		if err == nil || !strings.Contains(err.Error(), "tidings_capture") && !strings.Contains(err.Error(), "depend") {
			t.Errorf("dropping a captured column: %v", err)
		}
	})
}
