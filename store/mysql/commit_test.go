package mysql

import (
	"context"
	"database/sql"
	"slices"
	"testing"
	"time"

	"tidings.example/relay"
)

// Removing published rows, in one run or in many, does not wait for rows between
// and behind them that others have not committed.
func TestCommitDoesNotWaitForOpenTransactions(t *testing.T) {
	t.Parallel()
	for name, done := range map[string][]int64{
		"one run":      span(1, 9),
		"many runs":    slices.DeleteFunc(span(1, 4001), func(p int64) bool { return p%2 == 0 }),
		"most of it":   slices.DeleteFunc(span(1, 4000), func(p int64) bool { return p%100 == 0 }),
		"single ones":  {1, 5, 9},
		"the last one": {4001},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDB(t)
			s, _ := acquire(t, db, "a")
			has := map[int64]bool{}
			for _, p := range done {
				has[p] = true
			}
			insertAt(t, db, done...)
			open := slices.DeleteFunc(span(0, 4010), func(p int64) bool { return has[p] || p == 0 })
			tx, err := db.sql.Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback() //nolint:errcheck // the end
			insertIn(t, tx, open)
			if _, err := db.sql.Exec("ANALYZE TABLE tidings_outbox"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			begun := time.Now()
			if err := s.Commit(ctx, relay.Change{Done: done}); err != nil {
				t.Fatalf("remove %d rows beside rows that are not committed: %v", len(done), err)
			}
			t.Logf("%d rows took %s", len(done), time.Since(begun))
			if got := leftRows(t, db); len(got) > 0 {
				t.Errorf("left: %v", got)
			}
		})
	}
}

// Nor does the removal of rows that were read from the log, and the switch to the
// table; what is not published stays.
func TestRemovalDoesNotWaitForOpenTransactions(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db := newDB(t)
	s, _ := acquire(t, db, "a")
	set := relay.PositionSet{High: 2000}
	var published, open []int64
	for p := int64(1); p <= 2000; p++ {
		if p%100 == 0 {
			open = append(open, p)
			if p < set.High {
				set.Gaps = append(set.Gaps, relay.Range{First: p, Last: p})
			}
		} else {
			published = append(published, p)
		}
	}
	set.High = 1999
	insertAt(t, db, published...)
	tx, err := db.sql.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // where the test has failed
	insertIn(t, tx, open)
	follow(t, s, set)
	if err := db.RemovePublished(ctx, set); err != nil {
		t.Fatalf("remove rows beside rows that are not committed: %v", err)
	}
	if got := leftRows(t, db); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
	insertAt(t, db, 1, 11, 1999) // what came to be seen late
	if err := s.Commit(ctx, relay.Change{Reading: relay.FromTable}); err != nil {
		t.Fatalf("switch to the table: %v", err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := leftRows(t, db); !slices.Equal(got, open) {
		t.Errorf("left: %v, want %v", got, open)
	}
}

// A row that is in the log before it can be seen in the table is found later.
func TestRemovalLooksTwice(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	s, _ := acquire(t, db, "a")
	insertAt(t, db, span(1, 20)...)
	set := relay.PositionSet{High: 25}
	follow(t, s, set)
	removePublished(t, db, set)
	insertAt(t, db, 21)
	removePublished(t, db, set)
	if got := leftRows(t, db); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
}

func insertIn(t testing.TB, tx *sql.Tx, positions []int64) {
	t.Helper()
	for some := range slices.Chunk(positions, 1000) {
		var args []any
		for _, p := range some {
			args = append(args, p)
		}
		if _, err := tx.Exec("INSERT INTO tidings_outbox (position, channel, type, payload) VALUES "+
			repeat("(?, 'orders', 'T', 'x')", ", ", len(some)), args...); err != nil {
			t.Fatal(err)
		}
	}
}
