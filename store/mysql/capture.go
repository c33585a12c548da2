package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"tidings.example/admin"
	"tidings.example/internal/capture"
	"tidings.example/internal/sqlstore"
)

var _ admin.Capture = (*Admin)(nil)

// What the triggers keep from the session that makes them.
var captureSession = []string{
	"SET NAMES utf8mb4",
	"SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'",
	"SET SESSION lock_wait_timeout = 10",
}

func (a *Admin) capturePlan(ctx context.Context, q sqlstore.Queryer, spec admin.CaptureSpec) (*capture.Plan, *installedCapture, error) {
	home, err := captureStrings(ctx, q, "SELECT DATABASE()")
	if err != nil {
		return nil, nil, err
	}
	t, err := captureTable(ctx, q, spec.Schema, spec.Table)
	if err != nil {
		return nil, nil, err
	}
	p, err := capture.NewPlan(spec, t, capture.MySQL{Home: home[0]}, time.Now())
	if err != nil {
		return nil, nil, err
	}
	old, err := captureOf(ctx, q, home[0], t.Schema, t.Name)
	return p, old, err
}

// complete reports whether the triggers are those of the plan.
func (c *installedCapture) complete(p *capture.Plan) bool {
	return c != nil && c.known && c.settings.Same(&p.Settings) && len(c.triggers) == len(p.Spec.Only)
}

func (c *installedCapture) remove() []string {
	var all []string
	if c != nil {
		for _, name := range c.triggers {
			all = append(all, "DROP TRIGGER "+capture.Backquoted(c.schema)+"."+capture.Backquoted(name))
		}
	}
	return all
}

func captureLock(schema, table string) string {
	return "LOCK TABLES " + capture.Backquoted(schema) + "." + capture.Backquoted(table) + " WRITE"
}

// InstallCapture installs or replaces the triggers of a table. The server commits
// each statement by itself, so the table is locked until all triggers stand: no
// change falls between them. What is to be done is recorded first; what failed,
// and left a part of the triggers behind, is recorded too.
func (a *Admin) InstallCapture(ctx context.Context, spec admin.CaptureSpec, act admin.Action) (result admin.Captured, changed bool, err error) {
	err = a.captureChange(ctx, "install capture", act, func(conn *sql.Conn) (*captureWork, error) {
		p, old, err := a.capturePlan(ctx, conn, spec)
		if err != nil {
			return nil, err
		}
		result = p.Captured()
		if old.complete(p) {
			result = old.settings.Captured()
			return nil, nil
		}
		changed = true
		return &captureWork{schema: p.Spec.Schema, table: p.Spec.Table, settings: &p.Settings, statements: append(old.remove(), p.Install()...)}, nil
	})
	return result, changed && err == nil, err
}

// RemoveCapture removes the triggers of a table.
func (a *Admin) RemoveCapture(ctx context.Context, schema, table string, act admin.Action) error {
	return a.captureChange(ctx, "remove capture", act, func(conn *sql.Conn) (*captureWork, error) {
		home, err := captureStrings(ctx, conn, "SELECT DATABASE()")
		if err != nil {
			return nil, err
		}
		if schema == "" {
			schema = home[0]
		}
		c, err := captureOf(ctx, conn, home[0], schema, table)
		if err == nil && c == nil {
			err = fmt.Errorf("capture of table %q in database %q: %w", table, schema, admin.ErrNotFound)
		}
		if err != nil {
			return nil, err
		}
		return &captureWork{schema: c.schema, table: c.table, settings: &c.settings, statements: c.remove()}, nil
	})
}

// captureWork is what to run on a table.
type captureWork struct {
	schema, table string
	settings      *capture.Settings
	statements    []string
}

// captureChange plans and works on one connection, which is thrown away: its
// settings are those of the triggers, and it may hold a lock.
func (a *Admin) captureChange(ctx context.Context, what string, act admin.Action, plan func(*sql.Conn) (*captureWork, error)) error {
	if err := act.Validate(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	conn, err := a.db.inbox.Conn(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer func() {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		_ = conn.Close()
	}()
	for _, s := range captureSession {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	w, err := plan(conn)
	if err != nil || w == nil {
		return wrapCapture(what, err)
	}
	detail, err := json.Marshal(w.settings)
	if err != nil {
		return wrapCapture(what, err)
	}
	target := "table " + w.schema + "." + w.table
	if _, err := conn.ExecContext(ctx, auditSQL, act.Actor, what, target, act.Reason, string(detail)); err != nil {
		return wrapCapture(what, err)
	}
	if err = a.captureRun(ctx, conn, w, plan); err == nil {
		return nil
	}
	failure, e := json.Marshal(map[string]string{"error": err.Error()})
	if e == nil {
		// The lock would forbid it on the connection.
		_, e = a.db.inbox.ExecContext(context.WithoutCancel(ctx), auditSQL, act.Actor, what+" failed", target, act.Reason, string(failure))
	}
	return wrapCapture(what, errors.Join(err, e))
}

// captureRun locks the table and looks again: another one may have been faster.
func (a *Admin) captureRun(ctx context.Context, conn *sql.Conn, w *captureWork, plan func(*sql.Conn) (*captureWork, error)) error {
	if _, err := conn.ExecContext(ctx, captureLock(w.schema, w.table)); err != nil {
		return err
	}
	w, err := plan(conn)
	if err != nil || w == nil {
		return err
	}
	for i, s := range w.statements {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%d of %d statements were run, then: %w", i, len(w.statements), err)
		}
	}
	_, err = conn.ExecContext(ctx, "UNLOCK TABLES")
	return err
}

func wrapCapture(what string, err error) error {
	switch code(err) {
	case 0:
	case codeBinlogTrigger:
		err = fmt.Errorf("%w: set log_bin_trust_function_creators = 1 on the server, or let an administrator run the SQL of tidings capture sql", err)
	case codeTableAccessDenied:
		err = fmt.Errorf("%w: installing needs the privileges TRIGGER, LOCK TABLES and SELECT on the table", err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// codeBinlogTrigger is for a trigger that only SUPER may create beside a binary log.
const codeBinlogTrigger = 1419

// CaptureSQL returns the statements as text for the mysql command.
func (a *Admin) CaptureSQL(ctx context.Context, spec admin.CaptureSpec) (install, remove string, err error) {
	p, old, err := a.capturePlan(ctx, a.db.inbox, spec)
	if err != nil {
		return "", "", err
	}
	fresh := &installedCapture{schema: p.Spec.Schema, table: p.Spec.Table}
	for _, op := range p.Spec.Only {
		fresh.triggers = append(fresh.triggers, capture.MySQL{}.Trigger(p.Spec.Schema, p.Spec.Table, op))
	}
	script := func(statements []string) string {
		all := append(captureSession[:len(captureSession):len(captureSession)], captureLock(p.Spec.Schema, p.Spec.Table))
		all = append(append(all, statements...), "UNLOCK TABLES")
		return "DELIMITER //\n" + strings.Join(all, "//\n") + "//\nDELIMITER ;\n"
	}
	return script(append(old.remove(), p.Install()...)), script(fresh.remove()), nil
}

// Captures returns what is installed, with what no longer fits.
func (a *Admin) Captures(ctx context.Context) ([]admin.Captured, error) {
	home, err := captureStrings(ctx, a.db.inbox, "SELECT DATABASE()")
	if err != nil {
		return nil, fmt.Errorf("list captures: %w", err)
	}
	all, err := installedCaptures(ctx, a.db.inbox, home[0])
	if err != nil {
		return nil, fmt.Errorf("list captures: %w", err)
	}
	var result []admin.Captured
	for _, c := range all {
		found := c.settings.Captured()
		found.Schema, found.Table = c.schema, c.table
		t, err := captureTable(ctx, a.db.inbox, c.schema, c.table)
		if err != nil {
			return nil, fmt.Errorf("list captures: %w", err)
		}
		if !c.known {
			found.Problems = []string{"the triggers are of another version of this program"}
		} else if found.Problems = c.settings.Drift(t); len(found.Problems) == 0 {
			p, err := capture.NewPlan(c.settings.Request(), t, capture.MySQL{Home: home[0]}, time.Now())
			if err != nil || !c.complete(p) {
				found.Problems = []string{"triggers are missing, or of another version of this program"}
			}
		}
		cascades, err := captureStrings(ctx, a.db.inbox, captureCascadesSQL, c.schema, c.table)
		if err != nil {
			return nil, fmt.Errorf("list captures: %w", err)
		}
		for _, name := range cascades {
			found.Warnings = append(found.Warnings, fmt.Sprintf("the foreign key %s changes rows when the table that it refers to changes, and no trigger sees that", name))
		}
		result = append(result, found)
	}
	return result, nil
}

// captures is the part of Doctor that looks at triggers on users' tables.
func (a *Admin) captures(ctx context.Context) []admin.Finding {
	all, err := a.Captures(ctx)
	return capture.Findings(all, err)
}
