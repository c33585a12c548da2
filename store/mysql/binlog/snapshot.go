package binlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"tidings.example/relay"
)

// A snapshot is a transaction that sees the table as it was at a place of the log.
type snapshot struct {
	conn  *sql.Conn
	place place
}

// snapshot opens one. On MariaDB it locks nothing, unless a transaction is
// prepared (XA). On MySQL, and then, it waits for transactions that have written to the
// outbox to end, and lets others wait, for less than two seconds.
func (s *Source) snapshot(ctx context.Context, v *settings) (*snapshot, error) {
	conn, err := s.access.Pool().Conn(ctx)
	if err != nil {
		return nil, err
	}
	snap := &snapshot{conn: conn}
	for range 5 {
		if err = s.begin(ctx, snap, v); code(err) != codeChanged {
			break // else the table was altered between the snapshot and the first look at it
		}
	}
	if err != nil {
		snap.close()
		return nil, fmt.Errorf("take a snapshot of the outbox and its place in the log: %w", s.explain(err))
	}
	return snap, nil
}

func (s *Source) begin(ctx context.Context, snap *snapshot, v *settings) error {
	lock := !s.access.MariaDB()
	if !lock {
		var err error
		if lock, err = heldBack(ctx, snap.conn); err != nil {
			return err
		}
	}
	unlock := func() {}
	if lock {
		var err error
		if unlock, err = s.lockTables(ctx); err != nil {
			return err
		}
	}
	defer unlock()
	if err := run(ctx, snap.conn, "ROLLBACK", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
		"START TRANSACTION WITH CONSISTENT SNAPSHOT"); err != nil {
		return err
	}
	p := &snap.place
	p.server = v.identity
	var err error
	if s.access.MariaDB() {
		p.file, p.at, err = snapshotPlace(ctx, snap.conn)
	} else {
		var set string
		p.file, p.at, set, err = s.end(ctx, snap.conn)
		if err == nil && s.byGTID {
			p.set, err = parseSet(set, false)
		}
	}
	if err != nil {
		return err
	}
	// The first look at a table keeps it from being altered until the end.
	for i, name := range tableNames {
		if err := s.columns(ctx, snap.conn, i, &p.columns); err != nil {
			return fmt.Errorf("look at %s: %w", name, err)
		}
	}
	return nil
}

// columns finds out where the columns are now.
func (s *Source) columns(ctx context.Context, conn *sql.Conn, which int, l *layouts) error {
	var one int
	err := conn.QueryRowContext(ctx, "SELECT 1 FROM "+tableNames[which]+" LIMIT 1").Scan(&one)
	switch {
	case code(err) == codeNoTable && which == tableLog:
		l[which] = nil
		return nil
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return err
	}
	rows, err := conn.QueryContext(ctx, `SELECT column_name FROM information_schema.columns
		WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position`, tableNames[which])
	if err != nil {
		return err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		names = append(names, name)
	}
	l[which] = layoutOf(names)
	return rows.Err()
}

// lockTables keeps others from writing to the outbox until unlock is called.
func (s *Source) lockTables(ctx context.Context) (unlock func(), err error) {
	conn, err := s.access.Pool().Conn(ctx)
	if err != nil {
		return nil, err
	}
	unlock = func() {
		_ = run(context.WithoutCancel(ctx), conn, "UNLOCK TABLES", "SET SESSION lock_wait_timeout = DEFAULT")
		_ = conn.Close()
	}
	if err := run(ctx, conn, "SET SESSION lock_wait_timeout = 2", "LOCK TABLES "+strings.Join(tableNames[:], " READ, ")+" READ"); err != nil {
		unlock()
		if code(err) == codeLockWait {
			return nil, fmt.Errorf("a transaction that has written to the outbox did not end within two seconds; look for long or prepared (XA) ones: %w", err)
		}
		return nil, err
	}
	return unlock, nil
}

func run(ctx context.Context, conn *sql.Conn, statements ...string) error {
	for _, statement := range statements {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// read returns rows as they were.
func (snap *snapshot) read(ctx context.Context, s *Source, q relay.Query) ([]relay.Row, error) {
	return s.access.Read(ctx, snap.conn, q)
}

// close ends the transaction.
func (snap *snapshot) close() {
	_ = run(context.Background(), snap.conn, "ROLLBACK")
	_ = snap.conn.Close()
}
