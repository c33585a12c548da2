package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings.example/admin"
	"tidings.example/internal/capture"
	"tidings.example/internal/sqlstore"
)

var _ admin.Capture = (*Admin)(nil)

const (
	captureTriggersSQL = `SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'tidings\_capture\_%' ESCAPE '\' ORDER BY tbl_name, name`

	captureTableSQL = `SELECT name FROM sqlite_master WHERE type = 'table' AND LOWER(name) = LOWER(?)`

	// Hidden columns (1) are those of virtual tables.
	captureColumnsSQL = `SELECT name, type, pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid`
)

// captureTable reads a table from the catalog.
func captureTable(ctx context.Context, q sqlstore.Queryer, schema, name string) (*capture.Table, error) {
	if schema != "" && schema != "main" {
		return nil, fmt.Errorf("schema %q: SQLite has only main here", schema)
	}
	found, err := sqlstore.Collect(ctx, q, captureTableSQL, []any{name}, func(rows *sql.Rows) (s string, err error) {
		return s, rows.Scan(&s)
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("table %q: %w", name, admin.ErrNotFound)
	}
	t := &capture.Table{Schema: "main", Name: found[0]}
	type keyed struct {
		name  string
		place int
	}
	var key []keyed
	t.Columns, err = sqlstore.Collect(ctx, q, captureColumnsSQL, []any{t.Name}, func(rows *sql.Rows) (c capture.Column, err error) {
		var place int
		err = rows.Scan(&c.Name, &c.Type, &place)
		if place > 0 {
			key = append(key, keyed{c.Name, place})
		}
		return c, err
	})
	slices.SortFunc(key, func(a, b keyed) int { return a.place - b.place })
	for _, k := range key {
		t.PrimaryKey = append(t.PrimaryKey, k.name)
	}
	return t, err
}

// installedCapture is what the triggers of a table say.
type installedCapture struct {
	table    string
	triggers map[string]string // name to text
	settings capture.Settings
	// known is false where the triggers are of no version that this program reads.
	known bool
}

func installedCaptures(ctx context.Context, q sqlstore.Queryer) ([]*installedCapture, error) {
	type trigger struct{ name, table, text string }
	all, err := sqlstore.Collect(ctx, q, captureTriggersSQL, nil, func(rows *sql.Rows) (t trigger, err error) {
		return t, rows.Scan(&t.name, &t.table, &t.text)
	})
	var found []*installedCapture
	for _, t := range all {
		if n := len(found); n == 0 || found[n-1].table != t.table {
			found = append(found, &installedCapture{table: t.table, triggers: map[string]string{}})
		}
		c := found[len(found)-1]
		c.triggers[t.name] = t.text
		if s, ok := capture.Parse(t.text); ok {
			c.settings, c.known = s, true
		}
	}
	return found, err
}

func (c *installedCapture) remove() []string {
	var all []string
	if c != nil {
		for name := range c.triggers {
			all = append(all, "DROP TRIGGER "+capture.DoubleQuoted(name))
		}
	}
	slices.Sort(all)
	return all
}

// complete reports whether the triggers are those of the plan.
func (c *installedCapture) complete(p *capture.Plan) bool {
	return c != nil && c.known && c.settings.Same(&p.Settings) && len(c.triggers) == len(p.Spec.Only)
}

func captureOf(ctx context.Context, q sqlstore.Queryer, table string) (*installedCapture, error) {
	all, err := installedCaptures(ctx, q)
	for _, c := range all {
		if strings.EqualFold(c.table, table) {
			return c, err
		}
	}
	return nil, err
}

// errSame ends the transaction of an installation that has nothing to do.
var errSame = errors.New("nothing to change")

// InstallCapture installs or replaces the triggers of a table.
func (a *Admin) InstallCapture(ctx context.Context, spec admin.CaptureSpec, act admin.Action) (admin.Captured, bool, error) {
	var result admin.Captured
	err := a.change(ctx, "install capture", act, func(tx *sql.Tx) (string, string, error) {
		t, err := captureTable(ctx, tx, spec.Schema, spec.Table)
		if err != nil {
			return "", "", err
		}
		p, err := capture.NewPlan(spec, t, capture.SQLite{}, a.db.now())
		if err != nil {
			return "", "", err
		}
		old, err := captureOf(ctx, tx, t.Name)
		if err != nil {
			return "", "", err
		}
		if old.complete(p) {
			result = old.settings.Captured()
			return "", "", errSame
		}
		result = p.Captured()
		for _, statement := range append(old.remove(), p.Install()...) {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return "", "", err
			}
		}
		detail, err := json.Marshal(p.Settings)
		return "table main." + t.Name, string(detail), err
	})
	if errors.Is(err, errSame) {
		return result, false, nil
	}
	return result, err == nil, err
}

// RemoveCapture removes the triggers of a table.
func (a *Admin) RemoveCapture(ctx context.Context, schema, table string, act admin.Action) error {
	return a.change(ctx, "remove capture", act, func(tx *sql.Tx) (string, string, error) {
		if schema != "" && schema != "main" {
			return "", "", fmt.Errorf("schema %q: %w", schema, admin.ErrNotFound)
		}
		c, err := captureOf(ctx, tx, table)
		if err == nil && c == nil {
			err = fmt.Errorf("capture of table %q: %w", table, admin.ErrNotFound)
		}
		if err != nil {
			return "", "", err
		}
		for _, statement := range c.remove() {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return "", "", err
			}
		}
		detail, err := json.Marshal(c.settings)
		return "table main." + c.table, string(detail), err
	})
}

// CaptureSQL returns the statements as text for the sqlite3 command.
func (a *Admin) CaptureSQL(ctx context.Context, spec admin.CaptureSpec) (install, remove string, err error) {
	t, err := captureTable(ctx, a.db.sql, spec.Schema, spec.Table)
	if err != nil {
		return "", "", err
	}
	p, err := capture.NewPlan(spec, t, capture.SQLite{}, a.db.now())
	if err != nil {
		return "", "", err
	}
	old, err := captureOf(ctx, a.db.sql, t.Name)
	if err != nil {
		return "", "", err
	}
	fresh := &installedCapture{triggers: map[string]string{}}
	for _, op := range p.Spec.Only {
		fresh.triggers[capture.SQLiteName(t.Name, op)] = ""
	}
	script := func(statements []string) string {
		return "BEGIN IMMEDIATE;\n" + strings.Join(statements, ";\n") + ";\nCOMMIT;\n"
	}
	return script(append(old.remove(), p.Install()...)), script(fresh.remove()), nil
}

// Captures returns what is installed, with what no longer fits.
func (a *Admin) Captures(ctx context.Context) ([]admin.Captured, error) {
	all, err := installedCaptures(ctx, a.db.sql)
	if err != nil {
		return nil, fmt.Errorf("list captures: %w", err)
	}
	var result []admin.Captured
	for _, c := range all {
		found := c.settings.Captured()
		found.Schema, found.Table = "main", c.table
		t, err := captureTable(ctx, a.db.sql, "", c.table)
		switch {
		case err != nil:
			return nil, fmt.Errorf("list captures: %w", err)
		case !c.known:
			found.Problems = []string{"the triggers are of another version of this program"}
		default:
			found.Problems = c.settings.Drift(t)
			p, err := capture.NewPlan(c.settings.Request(), t, capture.SQLite{}, time.Now())
			if len(found.Problems) == 0 && (err != nil || !c.complete(p)) {
				found.Problems = []string{"triggers are missing, or of another version of this program"}
			}
		}
		var recursive bool
		if err := a.db.sql.QueryRowContext(ctx, "PRAGMA recursive_triggers").Scan(&recursive); err == nil && !recursive {
			found.Warnings = append(found.Warnings, "REPLACE removes rows without a delete message, unless the writer sets PRAGMA recursive_triggers = ON")
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
