package storetest

import (
	"strings"
	"sync"

	"tidings.example/admin"
)

func migrateTests[Tx any]() []testCase[Tx] {
	return []testCase[Tx]{
		{name: "an empty database is migrated once", run: testMigrate[Tx], empty: true},
		{name: "several migrate at the same time", run: testMigrateRace[Tx], empty: true},
		{name: "the printed SQL makes the same tables", run: testMigrateByHand[Tx], empty: true},
		{name: "an empty database is not ready, and the doctor says why", run: testDoctorEmpty[Tx], empty: true},
		{name: "a good database is ready, and the doctor finds nothing", run: testDoctorGood[Tx]},
		{name: "a missing table is found", run: testDoctorBroken[Tx]},
	}
}

func (e *env[Tx]) wantMigrated() {
	e.Helper()
	all, err := e.db.Migrator.Migrations(e.ctx)
	e.ok(err)
	for i, m := range all {
		if m.AppliedAt.IsZero() || m.Name == "" || m.Version < 1 || i > 0 && m.Version <= all[i-1].Version {
			e.Errorf("migration %d: %+v", i, m)
		}
	}
	again, err := e.db.Migrator.Migrate(e.ctx)
	e.ok(err)
	if len(again) != 0 {
		e.Errorf("applied again: %+v", again)
	}
	e.ok(e.db.Ready(e.ctx))
	e.append("a")
	e.wantKeys(e.read(e.session(), everything()), "a")
}

func testMigrate[Tx any](e *env[Tx]) {
	pending, err := e.db.Migrator.Migrations(e.ctx)
	e.ok(err)
	for _, m := range pending {
		if !m.AppliedAt.IsZero() {
			e.Errorf("applied to an empty database: %+v", m)
		}
	}
	applied, err := e.db.Migrator.Migrate(e.ctx)
	e.ok(err)
	if len(applied) == 0 || len(applied) != len(pending) {
		e.Errorf("applied %+v of %+v", applied, pending)
	}
	e.wantMigrated()
}

func testMigrateRace[Tx any](e *env[Tx]) {
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if _, err := e.db.Migrator.Migrate(e.ctx); err != nil {
				e.Error(err)
			}
		})
	}
	wait.Wait()
	e.wantMigrated()
}

func testMigrateByHand[Tx any](e *env[Tx]) {
	text, err := e.db.Migrator.MigrationSQL()
	e.ok(err)
	e.ok(e.db.Exec(e.ctx, text))
	e.wantMigrated()
}

func testDoctorEmpty[Tx any](e *env[Tx]) {
	if err := e.db.Ready(e.ctx); err == nil || strings.Contains(err.Error(), "\n") {
		e.Errorf("ready without tables: %v", err)
	}
	e.wantFailure("migrate")
}

func testDoctorGood[Tx any](e *env[Tx]) {
	if e.db.Ready != nil {
		e.ok(e.db.Ready(e.ctx))
	}
	if e.db.Doctor == nil {
		return
	}
	findings := e.db.Doctor.Doctor(e.ctx)
	for _, f := range findings {
		if f.Status == admin.Fail || f.Name == "" || f.Detail == "" || (f.Status == admin.OK) != (f.Advice == "") {
			e.Errorf("finding: %+v", f)
		}
	}
	if len(findings) < 3 {
		e.Errorf("only %d findings", len(findings))
	}
}

func testDoctorBroken[Tx any](e *env[Tx]) {
	if e.db.Exec == nil || e.db.Doctor == nil {
		return
	}
	e.ok(e.db.Exec(e.ctx, `DROP TABLE tidings_inbox_lane`))
	e.wantFailure("tidings_inbox_lane")
	if err := e.db.Ready(e.ctx); err == nil || !strings.Contains(err.Error(), "tidings_inbox_lane") {
		e.Errorf("ready: %v; want an error that names tidings_inbox_lane", err)
	}
}

// wantFailure checks that one of the doctor's findings is a failure, in one
// line, with advice, that has this word.
func (e *env[Tx]) wantFailure(word string) {
	e.Helper()
	if e.db.Doctor == nil {
		return
	}
	findings := e.db.Doctor.Doctor(e.ctx)
	for _, f := range findings {
		if f.Status == admin.Fail && f.Advice != "" && strings.Contains(f.Detail+f.Advice, word) && !strings.Contains(f.Detail, "\n") {
			return
		}
	}
	e.Errorf("no failure names %q: %+v", word, findings)
}
