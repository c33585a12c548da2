package relay

import (
	"context"
	"errors"
	"time"
)

// ErrLogLost is wrapped by errors of [Log.Next] which say that nobody can read on
// behind what it has returned: whoever opens the log there gets a fresh start. A
// relay that goes on without it loses no message either, but may repeat some.
var ErrLogLost = errors.New("the log cannot be read on")

// A LogSource is a Source whose database keeps a commit log that its outbox can
// be read from: the WAL of PostgreSQL, the binlog of MySQL and MariaDB. Rows then
// come in the order of their commits, and reading costs the tables nothing.
//
// The same rows at the same places come from the log each time it is read, which
// is what numbers rest on: whoever begins at a checkpoint gives the same ones.
type LogSource interface {
	Source
	// Tail opens the log for the holder of session, which Acquire of this
	// source has returned with st and which is not released yet. The log begins
	// behind st.Log.Position. Where that is empty, or the log does not reach
	// back to it any more, the log begins now, and the Start says so.
	//
	// A log that another relay still reads, though its lease is over, is taken
	// from it; if it reads with a lease that is good, the error is a
	// *HeldError. ctx bounds only the opening.
	Tail(ctx context.Context, session Session, st State) (Log, Start, error)
}

// A Start is where a Log begins.
type Start struct {
	// Fresh is set where the log begins now and not at the checkpoint. What was
	// committed before can only be found in the table: see Log.Before. A relay
	// that is killed before it has saved a checkpoint gets a fresh start again.
	Fresh bool
	// Position is that of the first checkpoint to save, once all that was
	// committed before is published. Set only with Fresh.
	Position []byte
	// Lost says why the checkpoint's position could not be used, and from
	// where to where the log is missing, for people. It is empty where there
	// was none.
	Lost string
}

// A Log is the commit log as the holder of the lease reads it. Next and Before
// are called by one goroutine at a time, the other methods may be called beside
// them.
type Log interface {
	// Before returns rows of the table that were committed before a fresh
	// start of the log, as if Session.Read had been called at that moment. It
	// is called before the first Next.
	Before(ctx context.Context, q Query) ([]Row, error)
	// Next returns what comes next in the log: at least one row, or none where
	// the log has gone on by much without any, so that the position should be
	// saved. It waits for that until ctx is done, and returns as soon as it has
	// something: rows are not held back to make larger batches. At most limit rows
	// are returned, and no more once their payloads have reached bytes. A
	// transaction may be spread over many batches, and is never kept in memory
	// as a whole. Rows and their messages belong to the caller. All that could
	// be read is returned before an error is; see also [ErrLogLost].
	Next(ctx context.Context, limit, bytes int) (LogBatch, error)
	// Aside returns set-aside rows in the order in which they were set aside.
	Aside(ctx context.Context, q AsideQuery) ([]Row, error)
	// Confirm tells that a checkpoint was committed: the database need not
	// keep the log below it, and rows that it counts as published may be removed
	// from the table, at leisure and cheaply. It does not wait for that.
	Confirm(c Checkpoint)
	// Lag says how far the saved position is behind.
	Lag(ctx context.Context) (Lag, error)
	// Close ends the reading. With forget the database is told that nobody
	// will continue at the checkpoint, and that it need not keep any log: what
	// was committed and not saved is then only in the table.
	Close(ctx context.Context, forget bool) error
}

// A LogBatch is a piece of the log.
type LogBatch struct {
	// Rows are committed rows, in the order of their commits, and of one
	// transaction in the order in which they were written.
	Rows []Row
	// End is the position behind the last row, or where the log has gone on to.
	// It is opaque to the relay, at most a few KiB, and may lie within a
	// transaction.
	End []byte
	// Committed is when the last transaction was committed, by the database's
	// clock; or a later time if nothing that was committed before comes after
	// this batch.
	Committed time.Time
	// Floor, if not 0, tells that no row at this or a lower position of the
	// table comes after this batch: whoever held one has committed or given up.
	Floor int64
}

// An AsideQuery selects set-aside rows: those at Positions, or the first Limit
// ones of Key.
type AsideQuery struct {
	Positions []int64
	Key       HeldKey
	Limit     int
}

// A Checkpoint is how far a relay has come in the log. It is saved together with
// the counters that belong to it.
type Checkpoint struct {
	// Position is where to go on: all before it was acknowledged by the broker
	// or set aside. It comes from a LogBatch or a Start.
	Position []byte
	// Aside are rows behind Position that were set aside already, encoded by
	// [EncodePositions]: 1 is the first row behind it, 2 the next.
	Aside []byte
	// Published tells which rows of the table need not be published any more,
	// encoded by [PositionSet.Encode]; rows that were set aside are among them.
	Published []byte
	// Tableless is when a row that was never in the table was last read; zero
	// if none was. Such rows cannot be read from the table.
	Tableless time.Time
}

// A Lag is how far a saved position is behind, in bytes of log.
type Lag struct {
	// Bytes lie between the saved position and the end of the log.
	Bytes int64
	// Retained bytes are kept on the database's disk for this relay, or until
	// they are purged. Limit is when the database stops keeping them; 0 is
	// never.
	Retained, Limit int64
}
