package storetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"tidings.example/saga"
	"tidings.example/saga/machine"
)

// BenchSagas measures what an orchestrator does in a database where so many
// sagas wait: a step (load, save, two entries of the journal) beside a bare
// transaction, and the questions that are asked again and again.
func BenchSagas[Tx any](b *testing.B, db DB[Tx], waiting int) {
	ctx := context.Background()
	fail := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	put := func(r *saga.Record) {
		fail(db.Sagas.InTx(ctx, func(ctx context.Context, tx Tx) error {
			_, err := db.Sagas.Insert(ctx, tx, r, []machine.Entry{entry(1)})
			return err
		}))
	}
	const batch = 500
	for from := 0; from < waiting; from += batch {
		fail(db.Sagas.InTx(ctx, func(ctx context.Context, tx Tx) error {
			for i := from; i < from+batch; i++ {
				r := newSaga(fmt.Sprint("waiting ", i))
				r.Wake = time.Now().Add(time.Hour)
				if _, err := db.Sagas.Insert(ctx, tx, r, nil); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	var n atomic.Int64
	fresh := func() *saga.Record { return newSaga(fmt.Sprint("fresh ", n.Add(1))) }
	b.Run("transaction", func(b *testing.B) {
		for b.Loop() {
			fail(db.Sagas.InTx(ctx, func(ctx context.Context, tx Tx) error {
				_, err := db.Sagas.Load(ctx, tx, saga.Ref{Type: "no", ID: "no"})
				return err
			}))
		}
	})
	b.Run("insert", func(b *testing.B) {
		for b.Loop() {
			put(fresh())
		}
	})
	b.Run("step", func(b *testing.B) {
		r := fresh()
		put(r)
		for b.Loop() {
			fail(db.Sagas.InTx(ctx, func(ctx context.Context, tx Tx) error {
				r, err := db.Sagas.Load(ctx, tx, r.Ref)
				if err != nil {
					return err
				}
				number := 2 * int(r.Version)
				r.Wake = time.Now().Add(time.Minute)
				return db.Sagas.Save(ctx, tx, r, []machine.Entry{entry(number), entry(number + 1)})
			}))
		}
	})
	b.Run("next-wake", func(b *testing.B) {
		for b.Loop() {
			_, _, err := db.Sagas.NextWake(ctx)
			fail(err)
		}
	})
	b.Run("due-none", func(b *testing.B) {
		for b.Loop() {
			fail(db.Sagas.InTx(ctx, func(ctx context.Context, tx Tx) error {
				_, err := db.Sagas.Due(ctx, tx, time.Now(), 100)
				return err
			}))
		}
	})
	b.Run("count", func(b *testing.B) {
		for b.Loop() {
			_, err := db.Operator.CountSagas(ctx)
			fail(err)
		}
	})
}
