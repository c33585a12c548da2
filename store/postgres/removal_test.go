package postgres_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings.example/admin"
	"tidings.example/relay"
	"tidings.example/store/postgres"
)

// A partition takes 1<<16 positions before it is the next one's turn. Tests use
// every spacing-th, so that few rows go through the ring.
const (
	spacing = 16
	slab    = 1 << 16 / spacing
)

// readFromLog has the outbox read from the log, by a session that saves checkpoints.
func readFromLog(t testing.TB, db *postgres.DB) relay.Session {
	t.Helper()
	s, _, err := db.Relay("shop").Acquire(t.Context(), "test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Release(context.Background()) })
	save(t, s, relay.PositionSet{})
	if err := exec(t.Context(), db, fmt.Sprintf("ALTER SEQUENCE tidings_outbox_positions INCREMENT %d", spacing)); err != nil {
		t.Fatal(err)
	}
	return s
}

// save saves a checkpoint with these rows published.
func save(t testing.TB, s relay.Session, set relay.PositionSet) {
	t.Helper()
	c := relay.Checkpoint{Position: []byte("0/16B3748"), Published: set.Encode()}
	if err := s.Commit(t.Context(), relay.Change{Reading: relay.FromLog, Log: &c}); err != nil {
		t.Fatal(err)
	}
}

// appendMany appends n small messages in one transaction.
func appendMany(t testing.TB, db *postgres.DB, n int) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), db.Pool(), func(tx pgx.Tx) error { return addMany(t.Context(), tx, n) })
	if err != nil {
		t.Fatal(err)
	}
}

func addMany(ctx context.Context, tx pgx.Tx, n int) error {
	_, err := tx.Exec(ctx, `INSERT INTO tidings_outbox (channel, message_key, type, payload)
		SELECT 'orders', n::text, 'T', convert_to(repeat('x', 300), 'UTF8') FROM generate_series(1, $1::int) AS n`, n)
	return err
}

func one[T any](t testing.TB, db *postgres.DB, query string, args ...any) T {
	t.Helper()
	var v T
	if err := db.Pool().QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// outboxSize is what the outbox takes on the disk, with indexes.
func outboxSize(t testing.TB, db *postgres.DB, table string) int64 {
	t.Helper()
	return one[int64](t, db, `SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = to_regclass($1)`, table)
}

func countRows(t testing.TB, db *postgres.DB) int {
	t.Helper()
	return one[int](t, db, `SELECT count(*) FROM tidings_outbox`)
}

func highest(t testing.TB, db *postgres.DB) int64 {
	t.Helper()
	return one[int64](t, db, `SELECT COALESCE(max(position), 0) FROM tidings_outbox`)
}

// TestSizeStaysFlat: under constant load, though an old transaction could still
// see all that is removed.
func TestSizeStaysFlat(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	s := readFromLog(t, db)
	old, err := db.Pool().BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Rollback(context.Background()) }()
	if _, err := old.Exec(t.Context(), `SELECT txid_current(), count(*) FROM tidings_audit`); err != nil {
		t.Fatal(err)
	}
	var largest int64
	var high int64
	const rounds, each = 30, slab / 4
	for range rounds {
		appendMany(t, db, each)
		high = highest(t, db)
		set := relay.PositionSet{High: high}
		save(t, s, set)
		if err := db.RemovePublished(t.Context(), set); err != nil {
			t.Fatal(err)
		}
		largest = max(largest, outboxSize(t, db, "tidings_outbox"))
	}
	if high < 7*slab*spacing {
		t.Fatalf("the highest position is %d: the ring was not gone through", high)
	}
	perRow := int64(600)
	if limit := 3 * slab * perRow; largest > limit {
		t.Errorf("the outbox took %d bytes, more than %d: %d rows were appended", largest, limit, rounds*each)
	}
	if rows := countRows(t, db); rows > 2*slab {
		t.Errorf("%d rows are left", rows)
	}
}

// TestOpenTransactionIsNotTruncated: what it has appended and not committed
// stays, wherever it lies, and nobody waits.
func TestOpenTransactionIsNotTruncated(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	s := readFromLog(t, db)
	open, err := db.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Rollback(context.Background()) }()
	if err := addMany(t.Context(), open, 3); err != nil {
		t.Fatal(err)
	}
	first := one[int64](t, db, `SELECT pg_sequence_last_value('tidings_outbox_positions')`) - 2*spacing
	for range 5 {
		appendMany(t, db, slab)
		// The relay knows nothing of the open one's positions.
		set := relay.PositionSet{High: highest(t, db), Gaps: []relay.Range{{First: first, Last: first + 2*spacing}}}
		save(t, s, set)
		if err := db.RemovePublished(t.Context(), set); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := addMany(ctx, open, 1); err != nil {
			t.Fatalf("the open transaction cannot go on: %v", err)
		}
		cancel()
	}
	if err := open.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := one[int](t, db, `SELECT count(*) FROM tidings_outbox WHERE position BETWEEN $1 AND $2`, first, first+2*spacing); found != 3 {
		t.Fatalf("%d of the open transaction's first 3 rows are there", found)
	}
	// Committed and not published: they stay, and what is around them with them.
	set := relay.PositionSet{High: highest(t, db), Gaps: []relay.Range{{First: first, Last: first + 2*spacing}}}
	save(t, s, set)
	if err := db.RemovePublished(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	if found := one[int](t, db, `SELECT count(*) FROM tidings_outbox WHERE position BETWEEN $1 AND $2`, first, first+2*spacing); found != 3 {
		t.Fatalf("%d of 3 rows are there that were not published", found)
	}
	// Published at last. Then nothing is left but in the current partition.
	appendMany(t, db, slab)
	set = relay.PositionSet{High: highest(t, db)}
	save(t, s, set)
	if err := db.RemovePublished(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	if rows := countRows(t, db); rows > 2*slab {
		t.Errorf("%d rows are left", rows)
	}
}

// TestNothingUnpublishedIsRemoved: while many append, what is removed was
// published, and appends do not wait.
func TestNothingUnpublishedIsRemoved(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	s := readFromLog(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var appended, slowest atomic.Int64
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for ctx.Err() == nil && appended.Load() < 6*slab {
				began := time.Now()
				err := pgx.BeginFunc(ctx, db.Pool(), func(tx pgx.Tx) error { return addMany(ctx, tx, 100) })
				if err != nil {
					t.Error(err)
					return
				}
				appended.Add(100)
				for took := int64(time.Since(began)); ; {
					if now := slowest.Load(); took <= now || slowest.CompareAndSwap(now, took) {
						break
					}
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wait.Wait(); close(done) }()
	seen := map[int64]bool{}
	var set relay.PositionSet
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		rows, err := db.Pool().Query(t.Context(), `SELECT position FROM tidings_outbox`)
		if err != nil {
			t.Fatal(err)
		}
		ps, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ps {
			seen[p] = true
		}
		set = setOf(seen)
		save(t, s, set)
		if err := db.RemovePublished(t.Context(), set); err != nil {
			t.Fatal(err)
		}
	}
	if int64(len(seen)) != appended.Load() {
		t.Errorf("%d rows were seen, %d appended: the others were removed before", len(seen), appended.Load())
	}
	if rows := countRows(t, db); int64(rows) == appended.Load() {
		t.Error("nothing was removed")
	}
	if slow := time.Duration(slowest.Load()); slow > 5*time.Second {
		t.Errorf("an append took %s", slow)
	}
}

func setOf(seen map[int64]bool) (set relay.PositionSet) {
	for p := range seen {
		set.High = max(set.High, p)
	}
	from := int64(0)
	for p := int64(1); p <= set.High; p += spacing {
		switch {
		case seen[p] && from > 0:
			set.Gaps = append(set.Gaps, relay.Range{First: from, Last: p - 1})
			from = 0
		case !seen[p] && from == 0:
			from = p
		}
	}
	return set
}

// TestOldSetRemovesNothing: a relay that was paused holds a set that is not true
// any more.
func TestOldSetRemovesNothing(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	s := readFromLog(t, db)
	appendMany(t, db, 10)
	if _, err := db.Pool().Exec(t.Context(), `SELECT setval('tidings_outbox_positions', $1)`, int64(slab*spacing)); err != nil {
		t.Fatal(err)
	}
	all := relay.PositionSet{High: math.MaxInt64 - 1}
	for what, change := range map[string]relay.Change{
		"nothing is saved":       {Log: &relay.Checkpoint{}},
		"less is saved":          {Log: &relay.Checkpoint{Position: []byte("0/1"), Published: (&relay.PositionSet{High: 9 * spacing}).Encode()}},
		"the table is read from": {Reading: relay.FromTable, Log: &relay.Checkpoint{}},
	} {
		t.Run(what, func(t *testing.T) {
			if err := s.Commit(t.Context(), change); err != nil {
				t.Fatal(err)
			}
			if err := db.RemovePublished(t.Context(), all); err != nil {
				t.Fatal(err)
			}
			if rows := countRows(t, db); rows != 10 {
				t.Errorf("%d rows are left of 10", rows)
			}
			if err := s.Commit(t.Context(), relay.Change{Reading: relay.FromLog}); err != nil {
				t.Fatal(err)
			}
		})
	}
	save(t, s, all)
	if err := db.RemovePublished(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if rows := countRows(t, db); rows != 0 {
		t.Errorf("%d rows are left that are published", rows)
	}
}

// TestRemovalLeavesUsedPartitions: a reader that holds one keeps it, and costs no wait.
func TestRemovalLeavesUsedPartitions(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	s := readFromLog(t, db)
	appendMany(t, db, 10)
	if _, err := db.Pool().Exec(t.Context(), `SELECT setval('tidings_outbox_positions', $1)`, int64(slab*spacing)); err != nil {
		t.Fatal(err)
	}
	dump, err := db.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dump.Rollback(context.Background()) }()
	if _, err := dump.Exec(t.Context(), `LOCK TABLE tidings_outbox IN ACCESS SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	set := relay.PositionSet{High: slab * spacing}
	save(t, s, set)
	began := time.Now()
	if err := db.RemovePublished(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if rows := countRows(t, db); rows != 10 {
		t.Errorf("%d rows are left of 10", rows)
	}
	if err := dump.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.RemovePublished(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	if rows := countRows(t, db); rows != 0 {
		t.Errorf("%d rows are left", rows)
	}
}

func benchName(workers int, way postgres.Append) string {
	return fmt.Sprintf("%s, %d at a time", way, workers)
}

// BenchmarkWaysToAppend measures transactions that append one message and do
// nothing else, in each of the ways, next to one bare insert.
func BenchmarkWaysToAppend(b *testing.B) {
	for _, workers := range []int{1, 16} {
		for _, way := range []postgres.Append{"floor", postgres.AppendTable, postgres.AppendAndDelete, postgres.AppendToLog} {
			b.Run(benchName(workers, way), func(b *testing.B) {
				db := migrated(b)
				readFromLog(b, db)
				if err := exec(b.Context(), db, "CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note bytea)"); err != nil {
					b.Fatal(err)
				}
				cfg := postgres.Config{Append: way}
				if way == "floor" {
					cfg.Append = ""
				}
				with, err := postgres.OnPool(b.Context(), db.Pool(), cfg)
				if err != nil {
					b.Fatal(err)
				}
				out := with.Outbox()
				b.ResetTimer()
				var wait sync.WaitGroup
				for w := range workers {
					wait.Go(func() {
						for i := w; i < b.N; i += workers {
							m := benchMessage(i)
							err := pgx.BeginFunc(b.Context(), db.Pool(), func(tx pgx.Tx) error {
								if way == "floor" {
									_, err := tx.Exec(b.Context(), "INSERT INTO things (note) VALUES ($1)", m.Payload)
									return err
								}
								return out.Append(b.Context(), tx, m)
							})
							if err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wait.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "transactions/s")
			})
		}
	}
}

func TestDoctorLooksAtPartitions(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	s := readFromLog(t, db)
	appendMany(t, db, 10)
	save(t, s, relay.PositionSet{High: 7 * spacing})
	if f := partitionsFinding(t, db); f.Status != admin.OK || !strings.Contains(f.Detail, "with 7 rows") {
		t.Errorf("%+v, want 7 published rows", f)
	}
	if err := exec(t.Context(), db, "ALTER TABLE tidings_outbox DETACH PARTITION tidings_outbox_2"); err != nil {
		t.Fatal(err)
	}
	if f := partitionsFinding(t, db); f.Status != admin.Fail || f.Advice == "" || !strings.Contains(f.Detail, "3 partitions") {
		t.Errorf("%+v, want a partition missed", f)
	}
}

func partitionsFinding(t *testing.T, db *postgres.DB) admin.Finding {
	t.Helper()
	for _, f := range db.Admin().Doctor(t.Context()) {
		if f.Name == "outbox partitions" {
			return f
		}
	}
	t.Fatal("the doctor does not look at partitions")
	return admin.Finding{}
}
