package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tidings.example/admin"
	"tidings.example/internal/capture"
)

const (
	captureHomeSQL = `SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = 'tidings_outbox'::regclass`

	captureTableSQL = `SELECT c.oid, n.nspname, c.relname, c.relkind = 'p' OR c.relkind = 'r' AND NOT c.relispartition
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = COALESCE(NULLIF($1, ''), current_schema()) AND c.relname = $2`

	// The kind of a domain is that of the type beneath it. Virtual generated
	// columns are computed when they are read, and no trigger can.
	captureColumnsSQL = `WITH RECURSIVE base AS (
		SELECT a.attnum, a.attname, format_type(a.atttypid, a.atttypmod) AS shown, a.atttypid AS typ, a.attgenerated::text AS generated
		FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
		UNION ALL
		SELECT b.attnum, b.attname, b.shown, t.typbasetype, b.generated FROM base b JOIN pg_type t ON t.oid = b.typ WHERE t.typtype = 'd')
	SELECT b.attname, b.shown, CASE WHEN t.typelem <> 0 AND t.typlen = -1 AND left(t.typname, 1) = '_' THEN
			CASE WHEN e.typnamespace = 'pg_catalog'::regnamespace THEN t.typname ELSE '_other' END
		WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN t.typname ELSE '' END, b.generated = 'v'
	FROM base b JOIN pg_type t ON t.oid = b.typ LEFT JOIN pg_type e ON e.oid = t.typelem
	WHERE t.typtype <> 'd' ORDER BY b.attnum`

	capturePrimarySQL = `SELECT a.attname FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(num, place)
	JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num
	WHERE i.indrelid = $1 AND i.indisprimary AND k.place <= i.indnkeyatts ORDER BY k.place`

	// Triggers that were cloned to partitions belong to the table above.
	captureTriggersSQL = `SELECT n.nspname, c.relname, c.oid, t.tgname, t.tgenabled IN ('O', 'A'), fn.nspname, f.proname, f.prosrc
	FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
	JOIN pg_proc f ON f.oid = t.tgfoid JOIN pg_namespace fn ON fn.oid = f.pronamespace
	WHERE NOT t.tgisinternal AND NOT c.relispartition AND t.tgname LIKE 'tidings\_capture\_%'
		AND fn.oid = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('tidings_outbox'))
		AND f.proname LIKE 'tidings\_capture\_%' ORDER BY 1, 2, 4`
)

// captureTable reads a table from the catalog.
func captureTable(ctx context.Context, q pgxQuerier, schema, name string) (*capture.Table, error) {
	var oid uint32
	found, err := captureRows(ctx, q, captureTableSQL, []any{schema, name}, func(rows pgx.Rows) (t capture.Table, err error) {
		var fit bool
		err = rows.Scan(&oid, &t.Schema, &t.Name, &fit)
		if err == nil && !fit {
			err = fmt.Errorf("table %q is a partition, a view or a foreign table: capture the table above or below it", name)
		}
		return t, err
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("table %q (schema %q): %w", name, schema, admin.ErrNotFound)
	}
	t := &found[0]
	t.Columns, err = captureRows(ctx, q, captureColumnsSQL, []any{oid}, func(rows pgx.Rows) (c capture.Column, err error) {
		return c, rows.Scan(&c.Name, &c.Type, &c.Kind, &c.Skip)
	})
	if err == nil {
		t.PrimaryKey, err = captureRows(ctx, q, capturePrimarySQL, []any{oid}, func(rows pgx.Rows) (s string, err error) {
			return s, rows.Scan(&s)
		})
	}
	return t, err
}

// installedCapture is what the triggers of a table say.
type installedCapture struct {
	schema, table string
	triggers      []string
	functions     map[string]bool // qualified
	disabled      bool
	settings      capture.Settings
	known         bool
}

func installedCaptures(ctx context.Context, q pgxQuerier) ([]*installedCapture, error) {
	var found []*installedCapture
	var last uint32
	_, err := captureRows(ctx, q, captureTriggersSQL, nil, func(rows pgx.Rows) (struct{}, error) {
		var schema, table, trigger, fnSchema, fnName, text string
		var oid uint32
		var enabled bool
		if err := rows.Scan(&schema, &table, &oid, &trigger, &enabled, &fnSchema, &fnName, &text); err != nil {
			return struct{}{}, err
		}
		if len(found) == 0 || last != oid {
			found = append(found, &installedCapture{schema: schema, table: table, functions: map[string]bool{}})
			last = oid
		}
		c := found[len(found)-1]
		c.triggers = append(c.triggers, trigger)
		c.functions[capture.DoubleQuoted(fnSchema)+"."+capture.DoubleQuoted(fnName)] = true
		c.disabled = c.disabled || !enabled
		c.settings, c.known = capture.Parse(text)
		return struct{}{}, nil
	})
	return found, err
}

func captureOf(ctx context.Context, q pgxQuerier, schema, table string) (*installedCapture, error) {
	all, err := installedCaptures(ctx, q)
	for _, c := range all {
		if c.schema == schema && c.table == table {
			return c, err
		}
	}
	return nil, err
}

func captureRows[T any](ctx context.Context, q pgxQuerier, query string, args []any, scan func(pgx.Rows) (T, error)) ([]T, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

func captureText(ctx context.Context, q pgxQuerier, query string) (string, error) {
	all, err := captureRows(ctx, q, query, nil, func(rows pgx.Rows) (s string, err error) { return s, rows.Scan(&s) })
	if err == nil && len(all) != 1 {
		err = pgx.ErrNoRows
	}
	if err != nil {
		return "", err
	}
	return all[0], nil
}
