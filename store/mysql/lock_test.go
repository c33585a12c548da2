package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/inbox"
)

func lane(n int) tidings.Lane {
	return tidings.Lane{Source: "shop", Epoch: "e", Channel: "orders", N: n}
}

// Transactions that lock lanes and ids in common lose no update, and wait for
// each other without deadlocks once the lanes exist.
func TestLocksUnderContention(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	const workers, rounds, lanes = 8, 60, 12
	in := db.Inbox()
	var deadlocks, advanced atomic.Int64
	once := func(chosen []int, id string) error {
		want := inbox.Want{IDs: []inbox.MessageID{{Source: "other", ID: id}}, Keys: []inbox.HeldKey{{Source: "other", Channel: "c", Key: id}}}
		for _, n := range chosen {
			want.Lanes = append(want.Lanes, lane(n))
		}
		return in.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			r, err := in.Lock(ctx, tx, "s", want)
			if err != nil {
				return err
			}
			for i := range r.Lanes {
				r.Lanes[i].Last++
			}
			return in.Save(ctx, tx, "s", inbox.Changes{Lanes: r.Lanes, IDs: want.IDs})
		})
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for range rounds {
				chosen := random.Perm(lanes)[:4]
				slices.Sort(chosen)
				id := fmt.Sprint(random.IntN(20))
				for {
					err := once(chosen, id)
					if err == nil {
						break
					}
					if !in.Transient(err) {
						t.Error(err)
						return
					}
					deadlocks.Add(1)
				}
				advanced.Add(int64(len(chosen)))
			}
		}()
	}
	wg.Wait()
	var sum int64
	if err := db.sql.QueryRow("SELECT SUM(last) FROM tidings_inbox_lane").Scan(&sum); err != nil || sum != advanced.Load() {
		t.Errorf("lanes advanced by %d, %v; want %d", sum, err, advanced.Load())
	}
	// Only making the first rows of lanes can lead to one.
	if n := deadlocks.Load(); n > lanes {
		t.Errorf("%d transactions had to be tried again", n)
	}
}

// Whoever holds one lane does not keep others from the lanes beside it.
func TestLocksOfOtherLanesDoNotWait(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	in := db.Inbox()
	lock := func(tx *sql.Tx, n ...int) error {
		var want inbox.Want
		for _, n := range n {
			want.Lanes = append(want.Lanes, lane(n))
		}
		_, err := in.Lock(ctx, tx, "s", want)
		return err
	}
	if err := in.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return lock(tx, 1, 2, 3, 5, 7) }); err != nil {
		t.Fatal(err)
	}
	err := in.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := lock(tx, 2, 5, 6); err != nil { // 6 is new
			return err
		}
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		return in.InTx(short, func(_ context.Context, other *sql.Tx) error { return lock(other, 1, 3, 4, 7, 8) })
	})
	if err != nil {
		t.Error(err)
	}
}

// A drain that releases a key and a transaction that finds it held go one
// after the other.
func TestReleaseAndParkAreSerial(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	in := db.Inbox()
	m := message("k")
	m.Source, m.ID = "shop", "1"
	p := inbox.Parked{Message: m, Reason: "bad", Attempts: 1}
	park := inbox.Changes{Park: []inbox.Parked{p}}
	if err := in.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return in.Save(ctx, tx, "s", park) }); err != nil {
		t.Fatal(err)
	}
	held := make(chan bool, 1)
	var wg sync.WaitGroup
	err := in.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		first, err := in.First(ctx, tx, "s", p.HeldKey())
		if err != nil || first == nil {
			return fmt.Errorf("first: %v, %w", first, err)
		}
		wg.Go(func() {
			err := in.InTx(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
				r, err := in.Lock(ctx, tx, "s", inbox.Want{Lanes: []tidings.Lane{lane(1)}, Keys: []inbox.HeldKey{p.HeldKey()}})
				if err == nil {
					held <- r.Held[0]
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
		if err := in.Remove(ctx, tx, "s", first.ID); err != nil {
			return err
		}
		if first, err = in.First(ctx, tx, "s", p.HeldKey()); err != nil || first != nil {
			return fmt.Errorf("first of none: %v, %w", first, err)
		}
		select {
		case <-held:
			t.Error("the key was looked at while it was released")
		case <-time.After(50 * time.Millisecond):
		}
		return nil
	})
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if <-held {
		t.Error("the key is held after its release")
	}
}
