package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tidings.example/admin"
)

// Doctor looks at the file, the settings, the tables and the clock.
func (a *Admin) Doctor(ctx context.Context) []admin.Finding {
	return append([]admin.Finding{
		a.connection(ctx), a.journal(ctx), a.sync(ctx), a.tables(ctx), a.integrity(ctx), a.directory(), a.clock(ctx),
	}, a.captures(ctx)...)
}

func ok(name, format string, args ...any) admin.Finding {
	return admin.Finding{Name: name, Status: admin.OK, Detail: fmt.Sprintf(format, args...)}
}

func failed(name string, err error, advice string) admin.Finding {
	return admin.Finding{Name: name, Status: admin.Fail, Detail: err.Error(), Advice: advice}
}

func (a *Admin) text(ctx context.Context, query string) (string, error) {
	var s string
	err := a.db.sql.QueryRowContext(ctx, query).Scan(&s)
	if err != nil {
		err = explain(err)
	}
	return s, err
}

func (a *Admin) connection(ctx context.Context) admin.Finding {
	version, err := a.text(ctx, "SELECT sqlite_version()")
	if err != nil {
		return failed("connection", err, "check the path and the permissions of "+a.db.path)
	}
	return ok("connection", "%s, SQLite %s", a.db.path, version)
}

func (a *Admin) journal(ctx context.Context) admin.Finding {
	mode, err := a.text(ctx, "PRAGMA journal_mode")
	if err == nil && mode != "wal" {
		err = fmt.Errorf("journal_mode is %s", mode)
	}
	if err != nil {
		return failed("journal mode", err, "run PRAGMA journal_mode = WAL; readers block writers without it")
	}
	return ok("journal mode", "wal")
}

func (a *Admin) sync(ctx context.Context) admin.Finding {
	level, err := a.text(ctx, "PRAGMA synchronous")
	switch {
	case err != nil:
		return failed("synchronous", err, "check the file")
	case level == "0":
		return admin.Finding{Name: "synchronous", Status: admin.Fail, Detail: "off",
			Advice: "set it to normal or full: with off a power failure can damage the database"}
	case level == "1":
		return ok("synchronous", "normal: a killed process loses nothing, a power failure may take the last transactions")
	}
	return ok("synchronous", "full: committed transactions outlive a power failure")
}

func (a *Admin) tables(ctx context.Context) admin.Finding {
	if err := a.db.Ready(ctx); err != nil {
		return failed("tables", err, "run: tidings migrate up")
	}
	all, err := a.Migrations(ctx)
	if err != nil {
		return failed("tables", err, "run: tidings migrate up")
	}
	return ok("tables", "%d migrations applied", len(all))
}

func (a *Admin) integrity(ctx context.Context) admin.Finding {
	result, err := a.text(ctx, "PRAGMA quick_check(1)")
	if err == nil && result != "ok" {
		err = fmt.Errorf("quick_check says: %s", result)
	}
	if err != nil {
		return failed("integrity", err, "restore the database from a backup, beside the file, and rename it into place")
	}
	return ok("integrity", "quick_check finds nothing")
}

// directory makes a file beside the database, as SQLite does.
func (a *Admin) directory() admin.Finding {
	dir := filepath.Dir(a.db.path)
	f, err := os.CreateTemp(dir, ".tidings-doctor-*")
	if err == nil {
		_, err = f.Write(make([]byte, 4096))
		if e := f.Close(); err == nil {
			err = e
		}
		if e := os.Remove(f.Name()); err == nil {
			err = e
		}
	}
	if err != nil {
		return failed("directory", err, "make "+dir+" writable and free some space: SQLite keeps files beside the database")
	}
	return ok("directory", "%s is writable", dir)
}

// clock compares the newest row with now: a clock that was set back makes
// leases last longer than they should.
func (a *Admin) clock(ctx context.Context) admin.Finding {
	var expires, newest int64
	err := a.db.sql.QueryRowContext(ctx, `SELECT COALESCE((SELECT MAX(expires_at) FROM tidings_relay), 0),
		COALESCE((SELECT CAST(created_at AS INTEGER) FROM tidings_outbox ORDER BY position DESC LIMIT 1), 0)`).Scan(&expires, &newest)
	if err != nil {
		return failed("clock", explain(err), "run: tidings migrate up")
	}
	now := a.db.now()
	for _, at := range []int64{expires, newest} {
		if ahead := time.UnixMicro(at).Sub(now); ahead > 10*time.Minute {
			return admin.Finding{Name: "clock", Status: admin.Warn,
				Detail: fmt.Sprintf("the database holds a time that is %s ahead", ahead.Round(time.Second)),
				Advice: "check this machine's clock, and those of the producers"}
		}
	}
	return ok("clock", "%s", now.UTC().Format(time.RFC3339))
}
