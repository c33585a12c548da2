package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings.example/command"
	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/store/postgres"
)

// A sagaBench is one saga for each number, with an instance and data of the usual size.
type sagaBench struct {
	db       *postgres.DB
	instance []byte
}

func (s *sagaBench) record(i int) *saga.Record {
	r := sagaRecord(fmt.Sprintf("0198c2a4-7f3e-7c1d-9b52-%012d", i), time.Now().Add(time.Minute))
	r.Data = []byte(`{"orderId":"17","customerId":"4711","total":{"amount":"120.50","currency":"EUR"},"ticketId":""}`)
	r.Instance = s.instance
	return r
}

func (s *sagaBench) insert(ctx context.Context, tx pgx.Tx, i int) error {
	_, err := s.db.Sagas().Insert(ctx, tx, s.record(i), entries(1, 2))
	return err
}

// step is what a reply or a timeout does: a new time to wake, and three entries.
func (s *sagaBench) step(ctx context.Context, tx pgx.Tx, i, number int) error {
	sagas := s.db.Sagas()
	r, err := sagas.Load(ctx, tx, saga.Ref{Type: "create-order", ID: s.record(i).ID})
	if err != nil {
		return err
	}
	r.Wake, r.Changed = time.Now().Add(time.Minute), time.Now()
	return sagas.Save(ctx, tx, r, entries(number, 3))
}

func (s *sagaBench) end(ctx context.Context, tx pgx.Tx, i, number int) error {
	sagas := s.db.Sagas()
	r, err := sagas.Load(ctx, tx, saga.Ref{Type: "create-order", ID: s.record(i).ID})
	if err != nil {
		return err
	}
	r.State, r.Wake, r.Ended = machine.Completed, time.Time{}, time.Now()
	return sagas.Save(ctx, tx, r, entries(number, 3))
}

// BenchmarkSaga measures what the life of a saga costs: its insert, two steps and
// its end, each a transaction, beside as many transactions that insert one row. The
// kinds alternate in short blocks, so that a busy machine slows down all.
func BenchmarkSaga(b *testing.B) {
	for _, workers := range []int{1, 8} {
		b.Run(fmt.Sprintf("%d workers", workers), func(b *testing.B) {
			db := migrated(b)
			if _, err := db.Pool().Exec(b.Context(), "CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount bigint, note text)"); err != nil {
				b.Fatal(err)
			}
			s := &sagaBench{db, []byte(`{"state":"running","steps":{` + strings.Repeat(`"reserve":{"phase":"done","attempt":1},`, 4) + `"x":{}},"journal":4}`)}
			kinds := []struct {
				name string
				do   func(ctx context.Context, tx pgx.Tx, i int) error
				took time.Duration
			}{
				{name: "bare", do: func(ctx context.Context, tx pgx.Tx, i int) error {
					_, err := tx.Exec(ctx, "INSERT INTO things (amount, note) VALUES ($1, $2)", i, "an order of some customer")
					return err
				}},
				{name: "insert", do: s.insert},
				{name: "step", do: func(ctx context.Context, tx pgx.Tx, i int) error { return s.step(ctx, tx, i, 3) }},
				{name: "step 2", do: func(ctx context.Context, tx pgx.Tx, i int) error { return s.step(ctx, tx, i, 6) }},
				{name: "end", do: func(ctx context.Context, tx pgx.Tx, i int) error { return s.end(ctx, tx, i, 9) }},
			}
			const block = 100
			done := 0
			for ; done < b.N || done < 4*block; done += block {
				for k := range kinds {
					kinds[k].took += runBlock(b, db, workers, done, block, kinds[k].do)
				}
			}
			for _, k := range kinds {
				b.ReportMetric(float64(done)/k.took.Seconds(), strings.ReplaceAll(k.name, " ", "")+"/s")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// runBlock runs transactions from first on, and returns how long they took.
func runBlock(b *testing.B, db *postgres.DB, workers, first, n int, do func(ctx context.Context, tx pgx.Tx, i int) error) time.Duration {
	b.Helper()
	began := time.Now()
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for i := first + w; i < first+n; i += workers {
				if err := pgx.BeginFunc(b.Context(), db.Pool(), func(tx pgx.Tx) error { return do(b.Context(), tx, i) }); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wait.Wait()
	return time.Since(began)
}

// BenchmarkLock measures what locking a target, and unlocking it, takes inside a transaction.
func BenchmarkLock(b *testing.B) {
	db := migrated(b)
	commands := db.Commands()
	owner := command.Saga{Type: "create-order", ID: "1"}
	err := commands.InTx(b.Context(), func(ctx context.Context, tx pgx.Tx) error {
		for i := 0; b.Loop(); i++ {
			target := command.Target{Participant: "kitchen", Name: fmt.Sprint(i % 1000)}
			if _, err := commands.Lock(ctx, tx, target, owner, time.Now()); err != nil {
				return err
			}
			if _, err := commands.Unlock(ctx, tx, target, owner); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
