package postgres

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings.example"
	"tidings.example/internal/servertest"
	"tidings.example/relay"
)

func below(high int64) relay.Query {
	return relay.Query{Ranges: []relay.Range{{First: 1, Last: high}}, RangeLimit: 1000}
}

func TestFloorRisesWhenLockersAreGone(t *testing.T) {
	t.Parallel()
	var f floor
	steps := []struct {
		high    int64
		lockers []string
		want    int64
	}{
		{100, []string{"1/1", "2/1"}, 0},
		{200, []string{"2/1", "3/1"}, 0}, // 2/1 may still have something below 100
		{300, []string{"3/1"}, 100},      // 300 with 3/1
		{400, []string{"3/1"}, 100},
		{500, []string{"4/1"}, 300}, // 500 with 4/1
		{600, nil, 500},             // 600 with none
		{700, nil, 600},
	}
	for i, s := range steps {
		f.swept(s.high, s.lockers)
		if f.position != s.want {
			t.Errorf("step %d: the floor is at %d, want %d", i, f.position, s.want)
		}
	}
	f.reset()
	if f.position != 0 || f.high != 0 {
		t.Errorf("after a reset: %+v", f)
	}
}

func TestFloorClips(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f := floor{position: 100, whole: now}
	ranges := func(bounds ...int64) (rs []relay.Range) {
		for i := 0; i < len(bounds); i += 2 {
			rs = append(rs, relay.Range{First: bounds[i], Last: bounds[i+1]})
		}
		return rs
	}
	cases := []struct {
		name string
		f    floor
		q    relay.Query
		at   time.Time
		want []relay.Range
	}{
		{"a sweep", f, relay.Query{Ranges: ranges(1, 50, 60, 300, 400, 500), RangeLimit: 10}, now, ranges(101, 300, 400, 500)},
		{"a sweep of what is below", f, relay.Query{Ranges: ranges(1, 100), RangeLimit: 10}, now, nil},
		{"a sweep after a minute", f, relay.Query{Ranges: ranges(1, 100), RangeLimit: 10}, now.Add(wholeInterval), ranges(1, 100)},
		{"gaps", f, relay.Query{Ranges: ranges(7, 7, 100, 100, 101, 101), RangeLimit: 10, Limit: 5, After: 900}, now, ranges(101, 101)},
		{"certain rows", f, relay.Query{Ranges: ranges(7, 7)}, now, ranges(7, 7)},
		{"switched off", floor{off: true, position: 100, whole: now}, relay.Query{Ranges: ranges(1, 50), RangeLimit: 10}, now, ranges(1, 50)},
	}
	for _, c := range cases {
		before := slices.Clone(c.q.Ranges)
		if got := c.f.clip(c.q, c.at); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if !slices.Equal(before, c.q.Ranges) {
			t.Errorf("%s: the query was changed", c.name)
		}
	}
}

// TestLateRowsAreFoundAboveTheFloor: transactions that commit later than ever so
// many sweeps.
func TestLateRowsAreFoundAboveTheFloor(t *testing.T) {
	t.Parallel()
	db := migratedAt(t, servertest.PostgresSchema(t))
	x, _ := acquired(t, db)
	sweep := func(high int64) []relay.Row {
		t.Helper()
		rows, err := x.Read(t.Context(), below(high))
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	for round := range 3 {
		late, err := db.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m := tidings.Message{Channel: "orders", Key: "late", Type: "T"}
		if err := db.Outbox().Append(t.Context(), late, m); err != nil {
			t.Fatal(err)
		}
		appendOne(t, db, "early")
		high := readAll(t, x, 0)
		var done []int64
		for range 5 {
			for _, r := range sweep(high) {
				done = append(done, r.Position)
			}
			if err := x.Commit(t.Context(), relay.Change{Done: done}); err != nil {
				t.Fatal(err)
			}
		}
		if x.floor.position >= high-1 {
			t.Fatalf("round %d: the floor is at %d, though position %d is open", round, x.floor.position, high-1)
		}
		if err := late.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		rows := sweep(high)
		if len(rows) != 1 || rows[0].Message.Key != "late" {
			t.Fatalf("round %d: found %d rows, want the late one", round, len(rows))
		}
		if err := x.Commit(t.Context(), relay.Change{Done: []int64{rows[0].Position}}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			sweep(high)
		}
		if x.floor.position < high {
			t.Errorf("round %d: the floor is at %d, though nothing is open below %d", round, x.floor.position, high)
		}
	}

	// A row that returns is found again.
	appendOne(t, db, "back")
	high := readAll(t, x, 0)
	key := relay.HeldKey{Channel: "orders", Key: "back"}
	if err := x.Commit(t.Context(), relay.Change{SetAside: []relay.SetAside{{Position: high, Key: key, Reason: "bad"}}}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		sweep(high + 1)
	}
	if x.floor.position < high {
		t.Fatalf("the floor is at %d", x.floor.position)
	}
	if err := x.Commit(t.Context(), relay.Change{Return: []relay.HeldKey{key}}); err != nil {
		t.Fatal(err)
	}
	if rows := sweep(high + 1); len(rows) != 1 || rows[0].Position != high {
		t.Errorf("found %d rows, want the one that returned", len(rows))
	}
}

// TestNoFloorWithCachedPositions: a session uses positions that it has cached in
// transactions that begin much later.
func TestNoFloorWithCachedPositions(t *testing.T) {
	t.Parallel()
	db := migratedAt(t, servertest.PostgresSchema(t))
	if _, err := db.pool.Exec(t.Context(), "ALTER SEQUENCE tidings_outbox_positions CACHE 10"); err != nil {
		t.Fatal(err)
	}
	x, _ := acquired(t, db)
	caching, err := db.dedicated(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = caching.Close(context.Background()) }()
	add := func() {
		t.Helper()
		err := pgx.BeginFunc(t.Context(), caching, func(tx pgx.Tx) error {
			return db.Outbox().Append(t.Context(), tx, tidings.Message{Channel: "orders", Key: "cached", Type: "T"})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	add()
	appendOne(t, db, "another session")
	high := readAll(t, x, 0)
	for range 3 {
		if _, err := x.Read(t.Context(), below(high)); err != nil {
			t.Fatal(err)
		}
	}
	add()
	rows, err := x.Read(t.Context(), below(high))
	if err != nil || len(rows) != 3 {
		t.Errorf("read %d rows, %v; want the one with the cached position too", len(rows), err)
	}
}
