package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/inbox"
	"tidings.example/internal/servertest"
	"tidings.example/relay"
)

func businessTable(b *testing.B, pool *sql.DB) {
	b.Helper()
	if _, err := pool.Exec("CREATE TABLE business (id BIGINT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(100))"); err != nil {
		b.Fatal(err)
	}
}

func transaction(b *testing.B, pool *sql.DB, more func(ctx context.Context, tx *sql.Tx) error) {
	b.Helper()
	ctx := context.Background()
	tx, err := pool.BeginTx(ctx, nil)
	if err == nil {
		_, err = tx.ExecContext(ctx, "INSERT INTO business (v) VALUES (?)", "something")
	}
	if err == nil && more != nil {
		err = more(ctx, tx)
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkTransaction compares a transaction of one insert with and without an
// append
func BenchmarkTransaction(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		db := newDB(b)
		businessTable(b, db.sql)
		for b.Loop() {
			transaction(b, db.sql, nil)
		}
	})
	b.Run("append", func(b *testing.B) {
		db := newDB(b)
		businessTable(b, db.sql)
		out := db.Outbox()
		for b.Loop() {
			transaction(b, db.sql, func(ctx context.Context, tx *sql.Tx) error { return out.Append(ctx, tx, message("k")) })
		}
	})
	b.Run("append-8-goroutines", func(b *testing.B) {
		db := newDB(b)
		businessTable(b, db.sql)
		out := db.Outbox()
		b.SetParallelism(4)
		var n atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				n.Add(1)
				transaction(b, db.sql, func(ctx context.Context, tx *sql.Tx) error { return out.Append(ctx, tx, message("k")) })
			}
		})
	})
}

func fill(b *testing.B, db *DB, n int) {
	b.Helper()
	for done := 0; done < n; done += 1000 {
		inTx(b, db, func(ctx context.Context, tx *sql.Tx) error {
			for i := range 1000 {
				m := message(fmt.Sprint("key", i))
				m.Payload = make([]byte, 300)
				if err := db.Outbox().Append(ctx, tx, m); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// BenchmarkDrain reads and removes rows as a relay does.
func BenchmarkDrain(b *testing.B) {
	const rows, batch = 20000, 1000
	db := newDB(b)
	s, _ := acquire(b, db, "bench")
	ctx := context.Background()
	var reading, committing time.Duration
	plan := int64(0)
	for b.Loop() {
		b.StopTimer()
		fill(b, db, rows)
		b.StartTimer()
		var after int64
		var c relay.Change
		for {
			start := time.Now()
			found, err := s.Read(ctx, relay.Query{After: after, Limit: batch, Bytes: 4 << 20})
			reading += time.Since(start)
			if err != nil {
				b.Fatal(err)
			}
			start = time.Now()
			var positions []int64
			for _, r := range found {
				positions = append(positions, r.Position)
				after = r.Position
			}
			if len(found) > 0 {
				plan++
				c.Plan = &relay.Plan{ID: plan, Positions: relay.EncodePositions(positions)}
			}
			if err := s.Commit(ctx, c); err != nil {
				b.Fatal(err)
			}
			committing += time.Since(start)
			c = relay.Change{Done: positions, DonePlans: []int64{plan}, Counters: map[string][]byte{"orders": make([]byte, 1500)}}
			if len(found) == 0 {
				break
			}
		}
	}
	total := float64(b.N * rows)
	b.ReportMetric(total/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(total/reading.Seconds(), "read-rows/s")
	b.ReportMetric(total/committing.Seconds(), "commit-rows/s")
}

// BenchmarkInbox handles messages, one or many in a transaction.
func BenchmarkInbox(b *testing.B) {
	for _, batch := range []int{1, 50} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			db, ctx := newDB(b), context.Background()
			businessTable(b, db.sql)
			in := db.Inbox()
			n := 0
			for b.Loop() {
				var want inbox.Want
				for i := range batch {
					want.Lanes = append(want.Lanes, tidings.Lane{Source: "shop", Epoch: "e", Channel: "orders", N: (n + i) % 960})
					want.Keys = append(want.Keys, inbox.HeldKey{Source: "shop", Channel: "orders", Key: fmt.Sprint("key", n+i)})
				}
				n += batch
				err := in.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
					r, err := in.Lock(ctx, tx, "s", want)
					if err != nil {
						return err
					}
					for i := range r.Lanes {
						if _, err := tx.ExecContext(ctx, "INSERT INTO business (v) VALUES (?)", "something"); err != nil {
							return err
						}
						r.Lanes[i].Last++
						r.Lanes[i].HandledAt = time.Now()
					}
					return in.Save(ctx, tx, "s", inbox.Changes{Lanes: r.Lanes})
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// BenchmarkAppend compares the ways to append, one and 16 at a time, with the
// bare transaction.
func BenchmarkAppend(b *testing.B) {
	for _, way := range []struct {
		name, engine string
		append       Append
	}{{"bare", "InnoDB", ""}, {"table", "InnoDB", AppendTable}, {"delete", "InnoDB", AppendAndDelete}, {"log", "BLACKHOLE", AppendToLog}} {
		for _, at := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s-%d", way.name, at), func(b *testing.B) {
				url := servertest.MySQLDatabase(b)
				if way.engine == "BLACKHOLE" {
					url = blackholeDatabase(b)
				}
				db := logDB(b, url, way.engine, way.append)
				businessTable(b, db.sql)
				m := message("k")
				m.Payload = make([]byte, 300)
				var more func(ctx context.Context, tx *sql.Tx) error
				if way.append != "" {
					more = func(ctx context.Context, tx *sql.Tx) error { return db.Outbox().Append(ctx, tx, m) }
				}
				b.SetParallelism((at + 1) / 2)
				b.ResetTimer()
				if at == 1 {
					for range b.N {
						transaction(b, db.sql, more)
					}
				} else {
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							transaction(b, db.sql, more)
						}
					})
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "transactions/s")
			})
		}
	}
}
