package sqlstore

import (
	"context"
	"database/sql"
	"regexp"
	"strings"
	"time"
)

// A Dialect is what differs between the databases behind database/sql, for the
// stores of sagas, timers and commands. Statements are written once, with
//
//	micros(c)   the column c, a time, in microseconds since 1970
//	@at         a parameter that is a time, as Time makes it
//	@lock       the rows that are read are locked until the transaction ends
//	@skip       the same, and rows that others have locked are left out
//	@index(i)   the table before it is read by the index i
type Dialect struct {
	// Mark begins statements whose text is always the same: they are kept prepared.
	Mark string
	// Micros has a $1 for the column.
	Micros, At, Lock, Skip string
	// Index has a $1 for the index.
	Index string
	// Time makes a parameter of a time; the zero time is NULL.
	Time func(time.Time) any

	// OrIgnore, with a $1 for a column, ends an INSERT that changes nothing where the
	// row is there; it is locked then until the transaction ends.
	OrIgnore string
	// OrKeep ends the INSERT of a saga; Inserted reports whether it has inserted one.
	OrKeep   string
	Inserted func(sql.Result) (bool, error)
	// OrTake ends the INSERT of a lock: a free one gets the new owner.
	OrTake string
	// FreeLock is the beginning of the statement that frees a lock: it deletes the row, or, where
	// FreeRows is set, leaves it without an owner.
	FreeLock string
	// FreeRows is set where a transaction that writes does not exclude others. A target that
	// nobody has locked has a row there, to be locked by transactions that ask for it. Rows that come and
	// go would do as well, but transactions that wait for a row which is removed may get into each other's way.
	FreeRows bool
	// AtStep is the condition that a parameter is within the step of a saga,
	// commas around both.
	AtStep string
	// DeleteTimers removes n timers by the ids of their messages.
	DeleteTimers func(n int) string
}

var (
	microsPattern = regexp.MustCompile(`micros\(([a-z_.]+)\)`)
	indexPattern  = regexp.MustCompile(`@index\(([a-z_]+)\)`)
)

// text returns a statement as the database takes it.
func (d *Dialect) text(s string) string {
	s = microsPattern.ReplaceAllString(s, d.Micros)
	s = indexPattern.ReplaceAllString(s, d.Index)
	return strings.NewReplacer("@at", d.At, "@lock", d.Lock, "@skip", d.Skip).Replace(s)
}

// kept is text for a statement that is worth keeping prepared.
func (d *Dialect) kept(s string) string { return d.Mark + d.text(s) }

// ignore ends an INSERT into a table whose key has this column.
func (d *Dialect) ignore(column string) string { return strings.ReplaceAll(d.OrIgnore, "$1", column) }

// insertion is an INSERT of one or more rows.
type insertion struct{ mark, head, row, tail string }

func (d *Dialect) insertion(table, columns, row, tail string) insertion {
	return insertion{d.Mark, "INSERT INTO " + table + " (" + columns + ") VALUES ", d.text(row), tail}
}

// keptRows bounds the statements that are kept of one insertion.
const keptRows = 8

// of returns the statement for n rows.
func (i insertion) of(n int) string {
	s := i.head + i.row + strings.Repeat(", "+i.row, n-1) + i.tail
	if n > keptRows {
		return s
	}
	return i.mark + s
}

// Placeholders returns n of them, with commas between.
func Placeholders(n int) string { return "?" + strings.Repeat(", ?", n-1) }

// An Engine is a database: its dialect, and how its transactions are run.
type Engine struct {
	*Dialect
	// Pool runs what needs no transaction.
	Pool *sql.DB
	// Run runs fn in a transaction that sees what is committed last.
	Run func(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error
	// Passing reports whether an error may pass.
	Passing func(err error) bool
	// Begin takes the write lock in a transaction that may have begun without. It is
	// nil where that is not so.
	Begin func(ctx context.Context, tx *sql.Tx) error
	// Now is the clock of what operators do.
	Now func() time.Time
}

// InTx runs fn in a transaction.
func (e *Engine) InTx(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	return e.Run(ctx, fn)
}

// Transient reports whether an error may pass.
func (e *Engine) Transient(err error) bool { return e.Passing(err) }

func (e *Engine) begin(ctx context.Context, tx *sql.Tx) error {
	if e.Begin == nil {
		return nil
	}
	return e.Begin(ctx, tx)
}

// affected runs a statement and returns how many rows it has changed.
func affected(ctx context.Context, db execer, query string, args ...any) (int, error) {
	result, err := db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// timeOf reads what micros() returns; NULL is the zero time.
func timeOf(micros sql.NullInt64) time.Time {
	if !micros.Valid {
		return time.Time{}
	}
	return time.UnixMicro(micros.Int64).UTC()
}

// cut returns a text that fits into a column of so many characters.
func cut(s string, limit int) string {
	if s = Reason(s); len(s) <= limit {
		return s
	}
	n := 0
	for i := range s {
		if n == limit {
			return s[:i]
		}
		n++
	}
	return s
}
