package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings.example/admin"
	"tidings.example/internal/capture"
)

var _ admin.Capture = (*Admin)(nil)

// errSame ends the transaction of an installation that has nothing to do.
var errSame = errors.New("nothing to change")

// Whoever waits for the table's lock keeps everybody behind it waiting.
const captureWaitSQL = `SET LOCAL lock_timeout = '10s'`

func (a *Admin) capturePlan(ctx context.Context, q pgxQuerier, spec admin.CaptureSpec) (*capture.Plan, *installedCapture, error) {
	home, err := captureText(ctx, q, captureHomeSQL)
	if err != nil {
		return nil, nil, err
	}
	t, err := captureTable(ctx, q, spec.Schema, spec.Table)
	if err != nil {
		return nil, nil, err
	}
	p, err := capture.NewPlan(spec, t, capture.Postgres{Home: home}, time.Now())
	if err != nil {
		return nil, nil, err
	}
	old, err := captureOf(ctx, q, t.Schema, t.Name)
	return p, old, err
}

// complete reports whether the triggers are those of the plan.
func (c *installedCapture) complete(p *capture.Plan) bool {
	triggers := len(p.Spec.Only)
	if p.Captures("delete") {
		triggers++ // TRUNCATE
	}
	return c != nil && c.known && !c.disabled && c.settings.Same(&p.Settings) && len(c.triggers) == triggers
}

func (c *installedCapture) remove() []string {
	var all []string
	if c == nil {
		return nil
	}
	for _, name := range c.triggers {
		all = append(all, "DROP TRIGGER "+capture.DoubleQuoted(name)+" ON "+tableName(c.schema, c.table))
	}
	var functions []string
	for name := range c.functions {
		functions = append(functions, "DROP FUNCTION "+name+"()")
	}
	slices.Sort(functions)
	return append(all, functions...)
}

func tableName(schema, table string) string {
	return capture.DoubleQuoted(schema) + "." + capture.DoubleQuoted(table)
}

// captureLock comes first, so that no change falls between the old triggers and
// the new ones.
func captureLock(p *capture.Plan, old *installedCapture) string {
	mode := "SHARE ROW EXCLUSIVE"
	if old != nil {
		mode = "ACCESS EXCLUSIVE"
	}
	return "LOCK TABLE " + tableName(p.Spec.Schema, p.Spec.Table) + " IN " + mode + " MODE"
}

// InstallCapture installs or replaces the triggers of a table.
func (a *Admin) InstallCapture(ctx context.Context, spec admin.CaptureSpec, act admin.Action) (admin.Captured, bool, error) {
	var result admin.Captured
	err := a.change(ctx, "install capture", act, func(r runner) (string, string, error) {
		q := r.(pgxRunner).q
		p, old, err := a.capturePlan(ctx, q, spec)
		if err != nil {
			return "", "", err
		}
		if old.complete(p) {
			result = old.settings.Captured()
			return "", "", errSame
		}
		if err := r.run(ctx, oneStatement(captureWaitSQL), oneStatement(captureLock(p, old))); err != nil {
			return "", "", err
		}
		// The table may have changed before it was locked.
		if p, old, err = a.capturePlan(ctx, q, spec); err != nil {
			return "", "", err
		}
		for _, text := range append(old.remove(), p.Install()...) {
			if err := r.run(ctx, oneStatement(text)); err != nil {
				return "", "", err
			}
		}
		result = p.Captured()
		detail, err := json.Marshal(p.Settings)
		return "table " + p.Spec.Schema + "." + p.Spec.Table, string(detail), err
	})
	if errors.Is(err, errSame) {
		return result, false, nil
	}
	return result, err == nil, err
}

func oneStatement(text string) statement { return statement{sql: text} }

// RemoveCapture removes the triggers of a table, and their function.
func (a *Admin) RemoveCapture(ctx context.Context, schema, table string, act admin.Action) error {
	return a.change(ctx, "remove capture", act, func(r runner) (string, string, error) {
		q := r.(pgxRunner).q
		if schema == "" {
			var err error
			if schema, err = captureText(ctx, q, `SELECT current_schema()`); err != nil {
				return "", "", err
			}
		}
		c, err := captureOf(ctx, q, schema, table)
		if err == nil && c == nil {
			err = fmt.Errorf("capture of table %q in schema %q: %w", table, schema, admin.ErrNotFound)
		}
		if err != nil {
			return "", "", err
		}
		for _, text := range append([]string{captureWaitSQL}, c.remove()...) {
			if err := r.run(ctx, oneStatement(text)); err != nil {
				return "", "", err
			}
		}
		detail, err := json.Marshal(c.settings)
		return "table " + c.schema + "." + c.table, string(detail), err
	})
}

// CaptureSQL returns the statements as text for psql.
func (a *Admin) CaptureSQL(ctx context.Context, spec admin.CaptureSpec) (install, remove string, err error) {
	p, old, err := a.capturePlan(ctx, a.db.pool, spec)
	if err != nil {
		return "", "", fmt.Errorf("capture: %w", a.db.advise(ctx, err))
	}
	home, err := captureText(ctx, a.db.pool, captureHomeSQL)
	if err != nil {
		return "", "", err
	}
	fresh := &installedCapture{schema: p.Spec.Schema, table: p.Spec.Table,
		functions: map[string]bool{capture.Postgres{Home: home}.Function(p.Spec.Schema, p.Spec.Table): true}}
	for _, op := range p.Spec.Only {
		fresh.triggers = append(fresh.triggers, capture.PostgresTrigger+"_"+op)
	}
	if p.Captures("delete") {
		fresh.triggers = append(fresh.triggers, capture.PostgresTrigger+"_truncate")
	}
	script := func(statements []string) string {
		return "BEGIN;\n" + strings.Join(statements, ";\n") + ";\nCOMMIT;\n"
	}
	run := append([]string{captureWaitSQL, captureLock(p, old)}, old.remove()...)
	return script(append(run, p.Install()...)), script(append([]string{captureWaitSQL}, fresh.remove()...)), nil
}

// Captures returns what is installed, with what no longer fits.
func (a *Admin) Captures(ctx context.Context) ([]admin.Captured, error) {
	all, err := installedCaptures(ctx, a.db.pool)
	if err != nil {
		return nil, fmt.Errorf("list captures: %w", err)
	}
	var result []admin.Captured
	for _, c := range all {
		found := c.settings.Captured()
		found.Schema, found.Table = c.schema, c.table
		t, err := captureTable(ctx, a.db.pool, c.schema, c.table)
		switch {
		case err != nil:
			return nil, fmt.Errorf("list captures: %w", err)
		case !c.known:
			found.Problems = []string{"the triggers are of another version of this program"}
		case c.disabled:
			found.Problems = []string{"a trigger is disabled"}
		default:
			found.Problems = c.settings.Drift(t)
			if len(found.Problems) == 0 {
				request := c.settings.Request()
				p, old, err := a.capturePlan(ctx, a.db.pool, request)
				if err != nil || !old.complete(p) {
					found.Problems = []string{"triggers are missing, or of another version of this program"}
				}
			}
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
