package postgres

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
)

// A statement is one SQL statement with its parameters.
type statement struct {
	sql  string
	args []any
	// row is called for each row; nil where none are expected.
	row func(scan func(into ...any) error) error
	// affected gets the number of rows that were changed; it may be nil.
	affected *int64
}

// A runner runs statements one after the other, in the transaction or on the
// pool that it stands for. It stops at the first error.
type runner interface {
	run(ctx context.Context, all ...statement) error
}

// pgxQuerier is a transaction, a connection or a pool.
type pgxQuerier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// pgxRunner sends several statements in one round trip.
type pgxRunner struct{ q pgxQuerier }

func onPgx(tx pgx.Tx) runner { return pgxRunner{tx} }

func (r pgxRunner) run(ctx context.Context, all ...statement) error {
	_, err := r.runAt(ctx, all...)
	return err
}

// runAt also returns which statement the error is of.
func (r pgxRunner) runAt(ctx context.Context, all ...statement) (at int, err error) {
	if len(all) == 1 {
		rows, err := r.q.Query(ctx, all[0].sql, all[0].args...)
		if err != nil {
			return 0, err
		}
		return 0, all[0].read(rows)
	}
	batch := &pgx.Batch{}
	for i := range all {
		batch.Queue(all[i].sql, all[i].args...)
	}
	results := r.q.SendBatch(ctx, batch)
	for i := range all {
		rows, err := results.Query()
		if err == nil {
			err = all[i].read(rows)
		}
		if err != nil {
			_ = results.Close()
			return i, err
		}
	}
	// Also where all results were good: what follows them may not be, when the
	// batch is a transaction of its own.
	return len(all) - 1, results.Close()
}

func (s *statement) read(rows pgx.Rows) error {
	defer rows.Close()
	if s.row != nil {
		for rows.Next() {
			if err := s.row(rows.Scan); err != nil {
				return err
			}
		}
	}
	rows.Close()
	if s.affected != nil {
		*s.affected = rows.CommandTag().RowsAffected()
	}
	return rows.Err()
}

// sqlRunner makes a round trip for each statement: database/sql has no other way.
type sqlRunner struct{ tx *sql.Tx }

func onSQL(tx *sql.Tx) runner { return sqlRunner{tx} }

func (r sqlRunner) run(ctx context.Context, all ...statement) error {
	for i := range all {
		if err := r.one(ctx, &all[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r sqlRunner) one(ctx context.Context, s *statement) error {
	if s.row == nil {
		result, err := r.tx.ExecContext(ctx, s.sql, s.args...)
		if err != nil || s.affected == nil {
			return err
		}
		*s.affected, err = result.RowsAffected()
		return err
	}
	rows, err := r.tx.QueryContext(ctx, s.sql, s.args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := s.row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
