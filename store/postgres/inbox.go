package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tidings.example/inbox"
)

// An Inbox keeps the records of inboxes, in transactions of type Tx.
type Inbox[Tx any] struct {
	db   *DB
	on   func(Tx) runner
	inTx func(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
}

var (
	_ inbox.Storage[pgx.Tx]  = (*Inbox[pgx.Tx])(nil)
	_ inbox.Storage[*sql.Tx] = (*Inbox[*sql.Tx])(nil)
	_ inbox.HeldCounter      = (*Inbox[pgx.Tx])(nil)
)

// InTx runs fn in a READ COMMITTED transaction.
func (in *Inbox[Tx]) InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	return in.inTx(ctx, fn)
}

// Transient reports whether the error may not come again: a deadlock, a lost
// connection, a timeout, a server that starts, stops or has no room.
func (in *Inbox[Tx]) Transient(err error) bool { return transient(err) }

func (db *DB) inPgxTx(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return fmt.Errorf("begin: %w", lostOr(err, conn.Conn().IsClosed()))
	}
	done := false
	defer func() {
		if !done { // fn failed or panicked, perhaps because ctx is done
			_ = tx.Rollback(context.WithoutCancel(ctx))
		}
	}()
	if err := fn(ctx, tx); err != nil {
		return lostOr(err, conn.Conn().IsClosed())
	}
	done = true
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", lostOr(err, conn.Conn().IsClosed()))
	}
	return nil
}

func lostOr(err error, lost bool) error {
	if lost {
		return &lostError{err}
	}
	return err
}

func (db *DB) inSQLTx(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	conn, err := db.sql.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close() }()
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return fmt.Errorf("begin: %w", lostOr(err, isClosed(conn)))
	}
	done := false
	defer func() {
		if !done {
			_ = tx.Rollback()
		}
	}()
	if err := fn(ctx, tx); err != nil {
		done = true
		_ = tx.Rollback()
		return lostOr(err, isClosed(conn))
	}
	done = true
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", lostOr(err, isClosed(conn)))
	}
	return nil
}

func isClosed(on *sql.Conn) bool {
	closed := false
	err := on.Raw(func(c any) error {
		if c, ok := c.(*conn); ok {
			closed = c.Conn().IsClosed()
		}
		return nil
	})
	// database/sql itself may have noticed.
	return closed || err != nil && !errors.Is(err, sql.ErrTxDone)
}
