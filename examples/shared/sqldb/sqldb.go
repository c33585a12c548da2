// Package sqldb is the little that the services of the samples need to run the
// same SQL on SQLite, PostgreSQL, MySQL and MariaDB: placeholders, row locks,
// transactions and migrations. To test with it, open a SQLite file in a
// directory of the test.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tidings.example/internal/connect"
)

// A DB is the database of one service.
type DB struct{ *connect.Database }

// Bind writes the placeholders of a statement, which are question marks, as the
// database wants them. The statement must have no other question marks.
func (db DB) Bind(statement string) string {
	if db.Kind != "postgres" {
		return statement
	}
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(statement, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		statement = after
	}
}

// BindLocking is Bind for a SELECT that locks the rows it finds until the
// transaction ends. SQLite has no such clause, and one writer at a time.
func (db DB) BindLocking(statement string) string {
	if db.Kind == "sqlite" {
		return statement
	}
	return db.Bind(statement) + " FOR UPDATE"
}

// errCommit is wrapped by the error of a commit, of which nobody knows whether
// it took effect.
var errCommit = errors.New("commit transaction")

// Repeatable reports whether what failed with err has not happened, and may
// succeed when it is tried again.
func (db DB) Repeatable(err error) bool { return db.Inbox.Transient(err) && !errors.Is(err, errCommit) }

// attempts is how often a transaction is tried that meets a deadlock or the like.
const attempts = 3

// InTx runs fn in a transaction and commits it when fn returns nil, else rolls
// it back and returns fn's error. fn may be called again, up to 3 times in all,
// when it fails for a reason that may not come again. A commit is not repeated:
// it may have taken effect.
func (db DB) InTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	var err error
	for range attempts {
		var tx *sql.Tx
		if tx, err = db.SQL.BeginTx(ctx, nil); err != nil {
			return fmt.Errorf("begin transaction: %w", err)
		}
		if err = fn(tx); err == nil {
			if err := tx.Commit(); err != nil {
				return fmt.Errorf("%w: %w", errCommit, err)
			}
			return nil
		}
		// What made fn fail says more than a rollback that fails too.
		_ = tx.Rollback()
		if ctx.Err() != nil || !db.Inbox.Transient(err) {
			break
		}
	}
	return err
}

// MustChange returns an error unless the statement has changed one row.
func MustChange(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return err
	}
	if n != 1 {
		return fmt.Errorf("%d rows were changed, not 1", n)
	}
	return nil
}

// AfterAll sorts behind every id.
const AfterAll = "~"

// Collect reads all rows and closes them.
func Collect[T any](rows *sql.Rows, scan func() (T, error)) ([]T, error) {
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan()
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
