package mysql

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

// follow makes the outbox one that is read from the log.
func follow(t testing.TB, s relay.Session, set relay.PositionSet) {
	t.Helper()
	log := &relay.Checkpoint{Position: []byte("file:a:4@b"), Published: set.Encode()}
	if err := s.Commit(context.Background(), relay.Change{Reading: relay.FromLog, Log: log}); err != nil {
		t.Fatal(err)
	}
}

func removePublished(t testing.TB, db *DB, set relay.PositionSet) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := db.RemovePublished(ctx, set); err != nil {
		t.Fatal(err)
	}
}

func leftRows(t testing.TB, db *DB) (all []int64) {
	t.Helper()
	rows, err := db.sql.Query("SELECT position FROM tidings_outbox ORDER BY position")
	if err != nil {
		t.Fatal(err)
	}
	err = each(rows, func() error {
		var p int64
		err := rows.Scan(&p)
		all = append(all, p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// insertAt inserts rows at positions of the test's choice.
func insertAt(t testing.TB, db *DB, positions ...int64) {
	t.Helper()
	inTx(t, db, func(_ context.Context, tx *sql.Tx) error {
		insertIn(t, tx, positions)
		return nil
	})
}

func span(first, last int64) (all []int64) {
	for p := first; p <= last; p++ {
		all = append(all, p)
	}
	return all
}

func TestRemovePublishedRemovesWhatIsSaved(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	s, _ := acquire(t, db, "a")
	insertAt(t, db, span(1, 3000)...)
	insertAt(t, db, -5, 1<<40)
	saved := relay.PositionSet{High: 2500, Gaps: []relay.Range{{First: 7, Last: 9}, {First: 2000, Last: 2000}}}
	follow(t, s, saved)

	// What the caller thinks beyond it does not count.
	removePublished(t, db, relay.PositionSet{High: 1 << 41})
	if n := len(leftRows(t, db)); n != 3002 {
		t.Errorf("%d rows are left after a set that is not saved, want all 3002", n)
	}
	removePublished(t, db, saved)
	want := slices.Concat([]int64{-5, 7, 8, 9, 2000}, span(2501, 3000), []int64{1 << 40})
	if got := leftRows(t, db); !slices.Equal(got, want) {
		t.Errorf("left: %v, want %v", got, want)
	}
	// A gap that was published since is found, though all around it is done.
	saved.Gaps = saved.Gaps[1:]
	follow(t, s, saved)
	removePublished(t, db, saved)
	if got := leftRows(t, db); !slices.Equal(got[:2], []int64{-5, 2000}) {
		t.Errorf("left: %v, want no row of a gap that was closed", got[:3])
	}
}

// After a switch to the table, a row that was set aside may come back at a
// position that an old relay counts as published.
func TestRemovePublishedLeavesTheTableAlone(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	s, _ := acquire(t, db, "a")
	insertAt(t, db, span(1, 20)...)
	set := relay.PositionSet{High: 10}
	follow(t, s, set)
	if err := s.Commit(ctx, relay.Change{Reading: relay.FromTable}); err != nil {
		t.Fatal(err)
	}
	insertAt(t, db, 5)
	want := append([]int64{5}, span(11, 20)...)
	other := openAgain(t, db) // it knows nothing of the switch
	for _, d := range []*DB{db, other} {
		removePublished(t, d, set)
		if got := leftRows(t, db); !slices.Equal(got, want) {
			t.Errorf("left: %v, want %v", got, want)
		}
	}
	// Nor where the log is read again, and has not come to it.
	follow(t, s, relay.PositionSet{High: 12, Gaps: []relay.Range{{First: 5, Last: 5}}})
	for _, d := range []*DB{db, other} {
		removePublished(t, d, set)
		if got := leftRows(t, db); !slices.Equal(got, want) {
			t.Errorf("left: %v, want %v", got, want)
		}
	}
}

func openAgain(t testing.TB, db *DB) *DB {
	t.Helper()
	cfg := *db.config
	d, err := open(context.Background(), &settings{driver: &cfg, maxConnections: 10, append: AppendTable})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// Removal, appends and saves go on at the same time, on several connections: no
// deadlock, and nothing unpublished is removed.
func TestRemovePublishedBesideOthers(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	s, _ := acquire(t, db, "a")
	follow(t, s, relay.PositionSet{})
	other := openAgain(t, db)
	var removing sync.WaitGroup
	sets := make(chan relay.PositionSet, 100)
	for _, d := range []*DB{db, other} {
		removing.Go(func() {
			for set := range sets {
				if err := d.RemovePublished(ctx, set); err != nil {
					t.Error(err)
				}
			}
		})
	}
	// Somebody takes long: removals do not wait for it.
	open, err := db.sql.Begin()
	if err == nil {
		_, err = open.Exec("INSERT INTO tidings_outbox (position, channel, type, payload) VALUES (10000, 'orders', 'T', '')")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Rollback() }()
	const rounds, each = 40, 50
	for round := int64(0); round < rounds; round++ {
		insertAt(t, db, span(round*each+1, (round+1)*each)...)
		// The last of each round stays unpublished.
		set := relay.PositionSet{High: (round+1)*each - 1}
		for r := range round {
			set.Gaps = append(set.Gaps, relay.Range{First: (r + 1) * each, Last: (r + 1) * each})
		}
		change := relay.Change{Log: &relay.Checkpoint{Position: []byte("p"), Published: set.Encode()},
			Counters: map[string][]byte{"orders": relay.Counters{uint64(round)}.Encode()}}
		if err := s.Commit(ctx, change); err != nil {
			t.Fatal(err)
		}
		sets <- set
	}
	if err := s.Commit(ctx, relay.Change{Reading: relay.FromTable}); err != nil {
		t.Fatal(err)
	}
	close(sets)
	removing.Wait()
	var want []int64
	for r := int64(1); r <= rounds; r++ {
		want = append(want, r*each)
	}
	if got := leftRows(t, db); !slices.Equal(got, want) {
		t.Errorf("left: %v, want %v", got, want)
	}
}

func TestRemovePublishedEndsWithItsContext(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	s, _ := acquire(t, db, "a")
	insertAt(t, db, span(1, 2000)...)
	set := relay.PositionSet{High: 2000}
	follow(t, s, set)
	// Somebody's transaction has locked a row.
	tx, err := db.sql.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.Exec("SELECT 1 FROM tidings_outbox WHERE position = 600 FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := db.RemovePublished(ctx, set); err == nil {
		t.Error("no error from a removal that could not end")
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	removePublished(t, db, set)
	if got := leftRows(t, db); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		start := time.Now()
		rate := rapid.Int64Range(0, 200_000).Draw(t, "published rows/s")
		left := rapid.Int64Range(0, 5_000_000).Draw(t, "left")
		took := time.Duration(rapid.Int64Range(1, 50).Draw(t, "ms of a chunk")) * time.Millisecond
		var p pace
		now, removed := start, int64(0)
		for now.Sub(start) < 10*time.Second {
			now = now.Add(took)
			high := int64(now.Sub(start).Seconds() * float64(rate))
			rest := p.rest(removeRows, left, high, took, now)
			if rest < took {
				t.Fatalf("rests %s after a chunk of %s", rest, took)
			}
			removed, now = removed+removeRows, now.Add(rest)
		}
		got := float64(removed) / now.Sub(start).Seconds()
		possible := removeRows / (2 * took.Seconds())
		switch {
		case got < min(possible, calmRate)*0.9:
			t.Fatalf("removes %.0f rows/s, less than %d; %.0f are possible", got, calmRate, possible)
		case float64(rate) > busyRate*1.2 && got > max(calmRate, float64(left)/removeLag.Seconds())*1.2:
			t.Fatalf("removes %.0f rows/s while %d are published", got, rate)
		}
	})
}

func TestWithout(t *testing.T) {
	t.Parallel()
	ranges := rapid.Custom(func(t *rapid.T) (all []relay.Range) {
		at := int64(0)
		for range rapid.IntRange(0, 6).Draw(t, "n") {
			first := at + rapid.Int64Range(1, 4).Draw(t, "distance")
			at = first + rapid.Int64Range(0, 4).Draw(t, "length")
			all = append(all, relay.Range{First: first, Last: at})
		}
		return all
	})
	in := func(all []relay.Range, p int64) bool {
		return slices.ContainsFunc(all, func(r relay.Range) bool { return r.First <= p && p <= r.Last })
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := ranges.Draw(t, "a"), ranges.Draw(t, "b")
		rest := sqlstore.Without(a, b)
		n := int64(0)
		for p := int64(0); p < 60; p++ {
			want := in(a, p) && !in(b, p)
			if in(rest, p) != want {
				t.Fatalf("%v without %v is %v: wrong at %d", a, b, rest, p)
			}
			if want {
				n++
			}
		}
		if sqlstore.Count(rest) != n {
			t.Fatalf("counted %d in %v", sqlstore.Count(rest), rest)
		}
	})
}
