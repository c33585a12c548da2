package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"tidings.example/admin"
	"tidings.example/internal/capture"
	"tidings.example/internal/sqlstore"
)

const (
	captureTableSQL = `SELECT table_schema, table_name FROM information_schema.tables
	WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ? AND table_type <> 'VIEW'`

	captureColumnsSQL = `SELECT column_name, column_type, LOWER(data_type), COALESCE(datetime_precision, IF(data_type = 'bit', numeric_precision, 0), 0)
	FROM information_schema.columns WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position`

	capturePrimarySQL = `SELECT column_name FROM information_schema.key_column_usage
	WHERE table_schema = ? AND table_name = ? AND constraint_name = 'PRIMARY' ORDER BY ordinal_position`

	captureTriggersSQL = `SELECT event_object_schema, event_object_table, trigger_name, action_statement FROM information_schema.triggers
	WHERE trigger_name LIKE 'tidings\_capture\_%' ORDER BY event_object_schema, event_object_table, trigger_name`

	captureCascadesSQL = `SELECT constraint_name FROM information_schema.referential_constraints
	WHERE constraint_schema = ? AND table_name = ? AND (update_rule IN ('CASCADE', 'SET NULL') OR delete_rule IN ('CASCADE', 'SET NULL')) ORDER BY 1`
)

// captureTable reads a table from the catalog.
func captureTable(ctx context.Context, q sqlstore.Queryer, schema, name string) (*capture.Table, error) {
	found, err := sqlstore.Collect(ctx, q, captureTableSQL, []any{schema, name}, func(rows *sql.Rows) (t capture.Table, err error) {
		return t, rows.Scan(&t.Schema, &t.Name)
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("table %q (database %q): %w", name, schema, admin.ErrNotFound)
	}
	t := &found[0]
	at := []any{t.Schema, t.Name}
	t.Columns, err = sqlstore.Collect(ctx, q, captureColumnsSQL, at, func(rows *sql.Rows) (c capture.Column, err error) {
		return c, rows.Scan(&c.Name, &c.Type, &c.Kind, &c.Digits)
	})
	if err == nil {
		t.PrimaryKey, err = captureStrings(ctx, q, capturePrimarySQL, at...)
	}
	return t, err
}

// installedCapture is what the triggers of a table say.
type installedCapture struct {
	schema, table string
	triggers      []string
	settings      capture.Settings
	known         bool
}

// installedCaptures returns those that append to the outbox in home.
func installedCaptures(ctx context.Context, q sqlstore.Queryer, home string) ([]*installedCapture, error) {
	type trigger struct{ schema, table, name, text string }
	all, err := sqlstore.Collect(ctx, q, captureTriggersSQL, nil, func(rows *sql.Rows) (t trigger, err error) {
		return t, rows.Scan(&t.schema, &t.table, &t.name, &t.text)
	})
	var found []*installedCapture
	for _, t := range all {
		if !strings.Contains(t.text, capture.Backquoted(home)+".tidings_outbox") {
			continue
		}
		if n := len(found); n == 0 || found[n-1].table != t.table || found[n-1].schema != t.schema {
			found = append(found, &installedCapture{schema: t.schema, table: t.table})
		}
		c := found[len(found)-1]
		c.triggers = append(c.triggers, t.name)
		c.settings, c.known = capture.Parse(t.text)
	}
	return found, err
}

func captureOf(ctx context.Context, q sqlstore.Queryer, home, schema, table string) (*installedCapture, error) {
	all, err := installedCaptures(ctx, q, home)
	for _, c := range all {
		if c.schema == schema && c.table == table {
			return c, err
		}
	}
	return nil, err
}

func captureStrings(ctx context.Context, q sqlstore.Queryer, query string, args ...any) ([]string, error) {
	return sqlstore.Collect(ctx, q, query, args, func(rows *sql.Rows) (s string, err error) { return s, rows.Scan(&s) })
}
