package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings.example"
	"tidings.example/inbox"
	"tidings.example/relay"
	"tidings.example/store/postgres"
)

func benchMessage(i int) tidings.Message {
	return tidings.Message{Channel: "orders", Key: fmt.Sprint(i % 1000), Type: "OrderCreated", Payload: make([]byte, 300)}
}

// BenchmarkAppend measures what an append adds to a transaction with one insert:
// the two kinds alternate in short blocks, so that a busy machine slows down both.
func BenchmarkAppend(b *testing.B) {
	for _, workers := range []int{1, 8} {
		for _, state := range []string{"no relay", "relay asleep", "no trigger"} {
			b.Run(fmt.Sprintf("%d workers, %s", workers, state), func(b *testing.B) {
				db := migrated(b)
				if _, err := db.Pool().Exec(b.Context(), "CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount bigint, note text)"); err != nil {
					b.Fatal(err)
				}
				switch state {
				case "relay asleep":
					asleep(b, db)
				case "no trigger":
					if _, err := db.Pool().Exec(b.Context(), "ALTER TABLE tidings_outbox DISABLE TRIGGER ALL"); err != nil {
						b.Fatal(err)
					}
				}
				var bare, with time.Duration
				const block = 100
				for done := 0; done < b.N || done < 4*block; done += block {
					bare += transactions(b, db, workers, block, false)
					with += transactions(b, db, workers, block, true)
				}
				b.ReportMetric(100*(with.Seconds()/bare.Seconds()-1), "%added")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// asleep has a session hold the lock and listen, as an idle relay does.
func asleep(b *testing.B, db *postgres.DB) {
	b.Helper()
	s, _, err := db.Relay("shop").Acquire(b.Context(), "bench", time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var wait sync.WaitGroup
	wait.Go(func() {
		for ctx.Err() == nil {
			_ = s.Wait(ctx, 20*time.Millisecond)
			if _, err := s.Read(b.Context(), relay.Query{After: 1 << 60, Limit: 1}); err != nil {
				return
			}
		}
	})
	b.Cleanup(func() {
		cancel()
		wait.Wait()
		_ = s.Release(context.Background())
	})
}

func transactions(b *testing.B, db *postgres.DB, workers, n int, appends bool) time.Duration {
	began := time.Now()
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for i := w; i < n; i += workers {
				err := pgx.BeginFunc(b.Context(), db.Pool(), func(tx pgx.Tx) error {
					_, err := tx.Exec(b.Context(), "INSERT INTO things (amount, note) VALUES ($1, $2)", i, "an order of some customer")
					if err == nil && appends {
						err = db.Outbox().Append(b.Context(), tx, benchMessage(i))
					}
					return err
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	wait.Wait()
	return time.Since(began)
}

// fill appends rows as quickly as it can.
func fill(b *testing.B, db *postgres.DB, rows int) {
	b.Helper()
	for at := 0; at < rows; at += 5000 {
		ms := make([]tidings.Message, min(5000, rows-at))
		for i := range ms {
			ms[i] = benchMessage(at + i)
		}
		if err := pgx.BeginFunc(b.Context(), db.Pool(), func(tx pgx.Tx) error { return db.Outbox().Append(b.Context(), tx, ms...) }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDrain measures what the database's part of a relay can do: read a
// batch, commit its plan and remove the one before.
func BenchmarkDrain(b *testing.B) {
	for _, size := range []int{500, 2000, 5000} {
		b.Run(fmt.Sprintf("batches of %d", size), func(b *testing.B) {
			db := migrated(b)
			rows := max(b.N, 20*size)
			fill(b, db, rows)
			s, _, err := db.Relay("shop").Acquire(b.Context(), "bench", time.Hour)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Release(context.Background()) }()
			b.ResetTimer()
			var reading, committing time.Duration
			c, after, plan := relay.Change{}, int64(0), int64(0)
			counters := make(relay.Counters, tidings.DefaultLanes)
			for read := 0; read < rows; {
				began := time.Now()
				found, err := s.Read(b.Context(), relay.Query{After: after, Limit: size, Bytes: 1 << 30})
				if err != nil || len(found) == 0 {
					b.Fatal(len(found), err)
				}
				reading += time.Since(began)
				read += len(found)
				positions := make([]int64, len(found))
				for i, r := range found {
					positions[i] = r.Position
				}
				after = slices.Max(positions)
				plan++
				c.Plan = &relay.Plan{ID: plan, Positions: relay.EncodePositions(positions)}
				began = time.Now()
				if err := s.Commit(b.Context(), c); err != nil {
					b.Fatal(err)
				}
				committing += time.Since(began)
				c = relay.Change{Done: positions, DonePlans: []int64{plan}, Counters: map[string][]byte{"orders": counters.Encode()}}
			}
			b.StopTimer()
			b.ReportMetric(float64(rows)/(reading+committing).Seconds(), "rows/s")
			b.ReportMetric(float64(rows)/reading.Seconds(), "read/s")
			b.ReportMetric(float64(rows)/committing.Seconds(), "commit/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkInbox measures the inbox's part of transactions that handle one or
// many messages, with an insert for each as the handler's work.
func BenchmarkInbox(b *testing.B) {
	for _, size := range []int{1, 20, 100} {
		b.Run(fmt.Sprintf("%d a transaction", size), func(b *testing.B) {
			db := migrated(b)
			if _, err := db.Pool().Exec(b.Context(), "CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount bigint)"); err != nil {
				b.Fatal(err)
			}
			in := db.Inbox()
			var locking, saving time.Duration
			handle := func(n int) error {
				return in.InTx(b.Context(), func(ctx context.Context, tx pgx.Tx) error {
					var want inbox.Want
					for i := range size {
						lane := tidings.Lane{Source: "shop", Epoch: "one", Channel: "orders", N: (n*size + i) % tidings.DefaultLanes}
						want.Lanes = append(want.Lanes, lane)
						want.Keys = append(want.Keys, inbox.HeldKey{Source: "shop", Channel: "orders", Key: fmt.Sprint(n*size + i)})
					}
					began := time.Now()
					r, err := in.Lock(ctx, tx, "billing", want)
					if err != nil {
						return err
					}
					locking += time.Since(began)
					for i := range r.Lanes {
						r.Lanes[i].Last++
						r.Lanes[i].HandledAt = began
						if _, err := tx.Exec(ctx, "INSERT INTO things (amount) VALUES ($1)", i); err != nil {
							return err
						}
					}
					began = time.Now()
					err = in.Save(ctx, tx, "billing", inbox.Changes{Lanes: r.Lanes})
					saving += time.Since(began)
					return err
				})
			}
			for n := range tidings.DefaultLanes/size + 1 { // the lanes are there
				if err := handle(n); err != nil {
					b.Fatal(err)
				}
			}
			locking, saving = 0, 0
			b.ResetTimer()
			messages := 0
			for n := 0; messages < b.N; n++ {
				if err := handle(n); err != nil {
					b.Fatal(err)
				}
				messages += size
			}
			b.ReportMetric(float64(messages)/b.Elapsed().Seconds(), "messages/s")
			b.ReportMetric(float64(locking.Microseconds())/float64(messages), "µs-lock/message")
			b.ReportMetric(float64(saving.Microseconds())/float64(messages), "µs-save/message")
			b.ReportMetric(0, "ns/op")
		})
	}
}
