package consumers

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"

	"tidings.example/examples/shared/sqldb"
	"tidings.example/examples/shared/web"
)

const (
	insertConsumer = `INSERT INTO consumers (consumer_id, first_name, last_name, limit_cents) VALUES (?, ?, ?, ?)`
	selectConsumer = `SELECT consumer_id, first_name, last_name, limit_cents FROM consumers WHERE consumer_id = ?`
	listConsumers  = `SELECT consumer_id, first_name, last_name, limit_cents FROM consumers WHERE consumer_id < ? ORDER BY consumer_id DESC LIMIT ?`
)

// store is the service's table. Ids grow with time, so their order is that of creation.
type store struct{ db sqldb.DB }

// reader is a transaction or the database.
type reader interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (s store) insert(ctx context.Context, tx *sql.Tx, c *Consumer) error {
	err := sqldb.MustChange(tx.ExecContext(ctx, s.db.Bind(insertConsumer), c.ID, c.Name.First, c.Name.Last, c.Limit.Cents()))
	if err != nil {
		return fmt.Errorf("insert consumer: %w", err)
	}
	return nil
}

// get returns a consumer; the error matches sql.ErrNoRows where there is none.
func (s store) get(ctx context.Context, from reader, id string) (Consumer, error) {
	return scan(from.QueryRowContext(ctx, s.db.Bind(selectConsumer), id))
}

// list returns the consumers of a page and, if there are more, one of them.
func (s store) list(ctx context.Context, p web.Page) ([]Consumer, error) {
	rows, err := s.db.SQL.QueryContext(ctx, s.db.Bind(listConsumers), cmp.Or(p.After, sqldb.AfterAll), p.Limit+1)
	if err != nil {
		return nil, fmt.Errorf("list consumers: %w", err)
	}
	return sqldb.Collect(rows, func() (Consumer, error) { return scan(rows) })
}

func scan(row interface{ Scan(...any) error }) (c Consumer, err error) {
	if err := row.Scan(&c.ID, &c.Name.First, &c.Name.Last, &c.Limit); err != nil {
		return c, fmt.Errorf("read consumer: %w", err)
	}
	return c, nil
}
