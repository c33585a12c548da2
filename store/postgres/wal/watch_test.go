package wal_test

import (
	"testing"
	"time"

	"tidings.example/store/postgres/wal"
)

// TestIdleOutboxInABusyDatabase: where only others write to the log, the
// reader still learns that what was committed before is not behind it. A relay that has taken
// over waits for that before it retries rows or goes back to the table.
func TestIdleOutboxInABusyDatabase(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	r := tail(t, wal.New(db, "shop", wal.Options{}), "one", nil)
	opened := time.Now()
	for deadline := opened.Add(patience); ; {
		exec(t, db, `SELECT pg_logical_emit_message(false, 'other', repeat('x', 17 << 20))`)
		b := r.next(1000)
		if len(b.Rows) > 0 {
			t.Fatalf("rows came: %v", b.Rows)
		}
		if b.Committed.After(opened) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is known only that what was committed before %s is not behind, after %s", b.Committed, time.Since(opened))
		}
	}
}
