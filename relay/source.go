package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidings.example"
)

// A Source is the outbox of one database, as a polling relay sees it.
type Source interface {
	// Name is the source's name, which goes out with every message.
	Name() string
	// Acquire takes the lease on the outbox for holder, for ttl by the
	// database's clock, and returns a session with a fence higher than any
	// before it, and what the source remembers. While another holder's lease
	// has not expired it returns a *HeldError. A holder may take its own
	// lease again. It waits for a Commit of an earlier session that has passed
	// the check of its fence, so that the state has all that such a Commit
	// does, and none takes effect later. The session lives on when ctx is
	// done, until Release.
	Acquire(ctx context.Context, holder string, ttl time.Duration) (Session, State, error)
}

// A Session is what the holder of the lease may do. After the lease was taken
// by somebody else, Renew and Commit return an error matching ErrFenced, and
// have changed nothing. A Session is used by one goroutine at a time, except
// Renew, which may run beside the others.
type Session interface {
	// Renew extends the lease by its ttl from now, and returns what operators
	// may have changed meanwhile.
	Renew(ctx context.Context) (Renewal, error)
	// Read returns committed rows in the order of their positions.
	Read(ctx context.Context, q Query) ([]Row, error)
	// Commit makes one change in one durable transaction that checks the lease's fence.
	Commit(ctx context.Context, c Change) error
	// Wait returns when rows may have been committed since the last Read, or
	// after idle, or when ctx is done; whichever comes first. It may return
	// early for no reason, but not much more often than rows are committed.
	Wait(ctx context.Context, idle time.Duration) error
	// Release gives the lease up, so that another relay can take it at once,
	// and frees the session's connections. It is called once, last.
	Release(ctx context.Context) error
}

// ErrFenced means that another relay has taken the lease: this one must not
// publish what it has not assigned yet, and starts again as a standby.
var ErrFenced = errors.New("another relay holds the lease")

// A HeldError says who holds the lease that Acquire wanted. It matches
// ErrFenced.
type HeldError struct {
	Source string
	Holder string
	// Expires is how long the lease still runs, by the database's clock.
	Expires time.Duration
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("the lease of outbox %q is held by %q for another %s", e.Source, e.Holder, e.Expires.Round(time.Millisecond))
}

// Is reports whether target is ErrFenced.
func (e *HeldError) Is(target error) bool { return target == ErrFenced }

// A Renewal is what a holder learns when it renews its lease.
type Renewal struct {
	// Held are the keys behind set-aside rows.
	Held []HeldKey
	// Asked is where an operator wants rows to be read from; empty if nobody
	// has asked for a change.
	Asked Reading
}

// A Reading says where a relay reads the rows of an outbox from.
type Reading string

// The values of Reading.
const (
	// FromTable is polling: rows are read from the outbox's table and removed.
	FromTable Reading = "table"
	// FromLog is log tailing: rows are read from the database's commit log.
	FromLog Reading = "log"
)

// State is what a source remembers between relays.
type State struct {
	// Fence is the number of this lease.
	Fence int64
	// Reading is where rows are read from; FromTable in the beginning. Asked
	// is what an operator has asked for, empty if nothing.
	Reading, Asked Reading
	// Epoch is the current epoch; empty before the first.
	Epoch string
	// Lanes is the number of lanes that the epoch's numbers were given with.
	Lanes int
	// Identity is what the database said of itself when the epoch was opened
	// (system identifier and timeline, server uuid ...), and Now what it says
	// today. Where they differ the database is another one or was restored.
	Identity, Now string
	// Counters hold, per channel, the encoded [Counters] up to all completed
	// plans.
	Counters map[string][]byte
	// Plans are those committed and not completed, in the order of their ids.
	Plans []Plan
	// Held are the keys behind set-aside rows.
	Held []HeldKey
	// Log is how far the log was read; zero while FromTable, and until the
	// first checkpoint FromLog.
	Log Checkpoint
}

// A Row is one row of an outbox.
type Row struct {
	// Position identifies the row in its table. Positions are handed out
	// before the commit, so a row may appear below ones that were read. It is
	// 0 for a row of the log that was never in the table.
	Position int64
	// Message is the row's content; Source and Stamp are not set.
	Message tidings.Message
	// Err says why the row does not hold a message (a NULL, an undecodable
	// column); nil otherwise. The store only decodes: the relay validates.
	Err error
	// Raw is what a LogSource needs to set a row with Err aside whole; the
	// relay only carries it.
	Raw any
}

// A Query selects rows in two parts, which one statement reads in one snapshot
// of the database: rows in Ranges, and rows above After. The one snapshot is
// what keeps a key in order: whoever committed before a row that is seen is seen
// too.
type Query struct {
	// Ranges are in order and do not overlap; all are below After if Limit
	// is not 0. There are at most a few thousand, most of them a single
	// position that was skipped. At most RangeLimit rows are read from them,
	// the lowest; 0 means no bound.
	Ranges     []Range
	RangeLimit int
	// After is where the second part begins: its lowest Limit rows; 0 means
	// none. It ends early once the sum of its payloads has reached Bytes.
	After int64
	Limit int
	Bytes int
}

// A Range is the positions from First to Last, both included.
type Range struct{ First, Last int64 }

// A Plan fixes numbers before publishing: the rows at its positions, in this
// order, get the next numbers of their lanes. Whoever reads the same rows again
// under the same plans gives the same numbers.
type Plan struct {
	// ID orders the plans of one source; ids grow.
	ID int64
	// Positions are encoded by [EncodePositions].
	Positions []byte
	// Aside is set where the positions are those of set-aside rows, which a
	// relay that reads the log publishes from where they are.
	Aside bool
}

// A Change is what one Commit does. Empty parts are left out.
type Change struct {
	// Done are positions whose messages the broker has acknowledged: their
	// rows are removed.
	Done []int64
	// DonePlans are the ids of the plans that are thereby completed.
	DonePlans []int64
	// Counters are the encoded counters of the channels that the completed
	// plans touched, after them.
	Counters map[string][]byte
	// Plan is the next plan, or nil.
	Plan *Plan
	// DoneAside are positions of set-aside rows that the broker has
	// acknowledged, of a plan with Aside set: they are removed.
	DoneAside []int64
	// SetAside moves rows out of the outbox, keeping them whole, with the
	// reason. Stores keep the outbox row's position.
	SetAside []SetAside
	// Return moves all set-aside rows of these keys back into the outbox,
	// at their old positions, and releases the keys. A relay never asks for it
	// together with SetAside.
	Return []HeldKey
	// KeepAside ends the wish to try the set-aside rows of these keys again:
	// they still cannot be published.
	KeepAside []SetAside
	// Epoch, if not nil, opens a new epoch: it replaces epoch, lane count and
	// identity, and removes all counters and plans.
	Epoch *Epoch
	// Log, if not nil, replaces the checkpoint; the zero value removes it.
	Log *Checkpoint
	// Reading, if not empty, is where rows are read from now on. It also ends
	// the wish of an operator. FromTable first removes from the table the rows
	// that the checkpoint (Log, or the one before) counts as published, so that
	// nothing is published twice, and then removes the checkpoint.
	Reading Reading
}

// An Epoch is a period of numbering.
type Epoch struct {
	Name     string
	Lanes    int
	Identity string
	// Reason says why it was opened; it is recorded.
	Reason string
}

// SetAside says that one row cannot be published now.
type SetAside struct {
	Position int64
	// Key is what the row holds, so that later rows of the key wait behind
	// it. It is empty for a row of which the channel cannot be told.
	Key HeldKey
	// Reason is the error, or says which row this one waits behind.
	Reason string
	// Row, if not nil, is the row itself, which was read from the log: it is
	// stored as it is here, and stays in the table, if it is there. Stores give a
	// row without a position one of their own that no other set-aside row has.
	Row *Row
}

// A HeldKey is a key with a set-aside row.
type HeldKey struct {
	Channel, Key string
	// Retry is set where an operator has asked to try the key's rows again.
	Retry bool
}
