package admin

import (
	"context"
	"time"
)

// Pending counts what waits in a service's database: for the end of a saga, and
// for a time. Programs that watch a service ask for it every few seconds.
type Pending interface {
	// CountPending returns the counts; ages are by the database's clock where it has one.
	CountPending(ctx context.Context) (PendingCount, error)
}

// A PendingCount counts what waits.
type PendingCount struct {
	// Locks counts the targets that participants have locked for sagas, OldestLock is
	// the age of the oldest, and SetAside counts the commands that wait for one.
	Locks      int64
	OldestLock time.Duration
	SetAside   int64
	// Timers counts the times that the database keeps, those of delayed messages and
	// those at which sagas are woken. Overdue of them have come, the first of
	// them Late ago.
	Timers, Overdue int64
	Late            time.Duration
}
