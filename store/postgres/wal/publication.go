package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"tidings.example/store/postgres"
)

const (
	publicationSQL = `SELECT p.pubinsert, p.pubviaroot, COALESCE((SELECT array_agg(t.tablename::text) FROM pg_publication_tables t
		WHERE t.pubname = p.pubname AND t.schemaname = $2 AND t.tablename IN ('tidings_outbox', 'tidings_outbox_log')), '{}')
	FROM pg_publication p WHERE p.pubname = $1`

	outboxTablesSQL = `SELECT array_agg(relname::text ORDER BY relname) FROM pg_class
	WHERE relnamespace = $1::text::regnamespace AND relname IN ('tidings_outbox', 'tidings_outbox_log') AND relkind IN ('r', 'p')`
)

// A publication names the tables whose rows the server sends.
type publication struct {
	name, schema string
	// tables are those of the outbox that there are.
	tables []string
}

func (p publication) qualified(tables []string) string {
	all := make([]string, len(tables))
	for i, t := range tables {
		all[i] = pgx.Identifier{p.schema, t}.Sanitize()
	}
	return strings.Join(all, ", ")
}

func (p publication) createSQL() string {
	return fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s WITH (publish = 'insert', publish_via_partition_root = true)",
		pgx.Identifier{p.name}.Sanitize(), p.qualified(p.tables))
}

// repairs returns the statements that make the publication what it must be.
func (p publication) repairs(ctx context.Context, db *postgres.DB) ([]string, error) {
	var insert, viaRoot bool
	var has []string
	err := db.Pool().QueryRow(ctx, publicationSQL, p.name, p.schema).Scan(&insert, &viaRoot, &has)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return []string{p.createSQL()}, nil
	case err != nil:
		return nil, fmt.Errorf("look for publication %s: %w", p.name, err)
	}
	var all []string
	quoted := pgx.Identifier{p.name}.Sanitize()
	var missing []string
	for _, t := range p.tables {
		if !slices.Contains(has, t) {
			missing = append(missing, t)
		}
	}
	if len(missing) > 0 {
		all = append(all, fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s", quoted, p.qualified(missing)))
	}
	if !insert || !viaRoot {
		all = append(all, fmt.Sprintf("ALTER PUBLICATION %s SET (publish = 'insert', publish_via_partition_root = true)", quoted))
	}
	return all, nil
}

// ensure creates or repairs the publication, and reports whether it had to: what was
// committed before that is not in the log for us.
func (p publication) ensure(ctx context.Context, db *postgres.DB) (changed bool, err error) {
	repairs, err := p.repairs(ctx, db)
	if err != nil {
		return false, err
	}
	for _, statement := range repairs {
		// Somebody else may have created it meanwhile.
		if _, err := db.Pool().Exec(ctx, statement); err != nil && codeOf(err) != "42710" {
			return false, fmt.Errorf("make the publication of the outbox: %w; run as the owner of the tables, with CREATE on the database: %s", err, statement)
		}
	}
	return len(repairs) > 0, nil
}

// findPublication looks for the outbox's tables.
func findPublication(ctx context.Context, db *postgres.DB, name, schema string) (publication, error) {
	p := publication{name: name, schema: schema}
	if err := db.Pool().QueryRow(ctx, outboxTablesSQL, pgx.Identifier{schema}.Sanitize()).Scan(&p.tables); err != nil {
		return p, fmt.Errorf("look for the outbox's tables: %w", err)
	}
	return p, nil
}
