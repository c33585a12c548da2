package admin

import (
	"context"
	"errors"
	"time"
)

// A Log answers questions about an outbox that is read from its database's
// commit log, and changes where it is read from. Stores whose databases have such
// a log implement it.
type Log interface {
	// LogStatus describes the reading of the log.
	LogStatus(ctx context.Context) (LogStatus, error)
	// AskReading asks the leading relay to read rows from the table ("table")
	// or from the log ("log") from now on, and returns at once; LogStatus tells
	// when it has happened. Without a relay it happens when the next one
	// starts. To ask for what is so already withdraws an earlier wish.
	//
	// The error wraps ErrTableless where the change to "table" would lose
	// messages, since some were appended past the table within the last day,
	// unless force is set.
	AskReading(ctx context.Context, reading string, force bool, a Action) error
	// DropLog makes the database forget the log that it keeps for a relay: on
	// PostgreSQL the replication slot is dropped. The next relay that reads the
	// log takes what is not published from the table, and opens a new epoch. It
	// returns an error wrapping ErrInUse while a relay reads the log, and
	// ErrNotFound where nothing is kept.
	DropLog(ctx context.Context, a Action) error
}

// ErrTableless is wrapped by the refusal to read from a table what was appended
// past it.
var ErrTableless = errors.New("messages were appended past the table")

// ErrInUse is wrapped by the refusal to drop what a relay uses.
var ErrInUse = errors.New("in use by a relay")

// A LogStatus is the state of reading from the log.
type LogStatus struct {
	// Reading is "table" or "log"; Asked is what was asked for, empty if
	// nothing was.
	Reading, Asked string
	// Name is what the database calls the reader: the slot on PostgreSQL;
	// empty where there is none.
	Name string
	// Position is the saved one, as people of that database write it; empty
	// while there is none. SavedAt is when it was saved.
	Position string
	SavedAt  time.Time
	// Active tells whether somebody reads the log at the moment.
	Active bool
	// Behind is the log between the saved position and its end, and Retained
	// what the database keeps on its disk, both in bytes; -1 where it cannot be
	// told. Limit is when it stops keeping it, 0 is never.
	Behind, Retained, Limit int64
	// Lost says why reading cannot go on at the saved position; empty if it
	// can.
	Lost string
	// Published rows are still in the table, to be removed together.
	Published int64
	// Tableless is when a message was last read that was never in the table.
	Tableless time.Time
}
