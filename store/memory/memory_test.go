package memory_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"testing/synctest"

	"tidings.example/store/memory"
)

var errNo = errors.New("no")

func TestTransactionsRollBack(t *testing.T) {
	t.Parallel()
	db := memory.New()
	put := func(ctx context.Context, tx *memory.Tx) error {
		if err := tx.Put(ctx, "a", "1"); err != nil {
			return err
		}
		if got, err := tx.Get(ctx, "a"); err != nil || got != "1" {
			t.Errorf("a transaction reads %q, %v of its own", got, err)
		}
		if got := db.Get("a"); got != "" {
			t.Errorf("others see %q before the commit", got)
		}
		return nil
	}
	err := db.InTx(t.Context(), func(ctx context.Context, tx *memory.Tx) error { return errors.Join(put(ctx, tx), errNo) })
	if !errors.Is(err, errNo) || len(db.Values()) != 0 {
		t.Errorf("after an error: %v, %v", err, db.Values())
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		_ = db.InTx(t.Context(), func(ctx context.Context, tx *memory.Tx) error {
			_ = put(ctx, tx)
			panic("handler")
		})
	}()
	ctx, cancel := context.WithCancel(t.Context())
	err = db.InTx(ctx, func(ctx context.Context, tx *memory.Tx) error {
		defer cancel()
		return put(ctx, tx)
	})
	if !errors.Is(err, context.Canceled) || len(db.Values()) != 0 {
		t.Errorf("after the context has ended: %v, %v", err, db.Values())
	}
	if err := db.InTx(t.Context(), put); err != nil || db.Get("a") != "1" {
		t.Errorf("after a commit: %v, %v", err, db.Values())
	}
	err = db.InTx(t.Context(), func(ctx context.Context, tx *memory.Tx) error { return tx.Delete(ctx, "a") })
	if err != nil || len(db.Values()) != 0 {
		t.Errorf("after deleting: %v, %v", err, db.Values())
	}
}

func TestEndedTransaction(t *testing.T) {
	t.Parallel()
	db := memory.New()
	tx := db.Begin()
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	tx.Rollback()
	if err := tx.Commit(); !errors.Is(err, memory.ErrTxDone) {
		t.Errorf("commit twice: %v", err)
	}
	if err := tx.Put(t.Context(), "a", "1"); !errors.Is(err, memory.ErrTxDone) {
		t.Errorf("put: %v", err)
	}
	if _, err := tx.Get(t.Context(), "a"); !errors.Is(err, memory.ErrTxDone) {
		t.Errorf("get: %v", err)
	}
}

// What one transaction has read no other one writes before its end: nothing is
// counted twice or lost.
func TestSerializable(t *testing.T) {
	t.Parallel()
	db := memory.New()
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 50 {
				err := db.InTx(t.Context(), func(ctx context.Context, tx *memory.Tx) error {
					n, err := tx.Get(ctx, "n")
					if err != nil {
						return err
					}
					return tx.Put(ctx, "n", n+"x")
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if n := len(db.Get("n")); n != 400 {
		t.Errorf("counted %d of 400", n)
	}
}

func TestDeadlockIsNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memory.New()
		one, two, three := db.Begin(), db.Begin(), db.Begin()
		for key, tx := range map[string]*memory.Tx{"1": one, "2": two, "3": three} {
			if err := tx.Put(t.Context(), key, "held"); err != nil {
				t.Fatal(err)
			}
		}
		var wait sync.WaitGroup
		waitsFor := func(tx *memory.Tx, key string) {
			wait.Go(func() {
				if err := tx.Put(t.Context(), key, "taken"); err != nil {
					t.Error(err)
				}
				if err := tx.Commit(); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		waitsFor(one, "2")
		waitsFor(two, "3")
		err := three.Put(t.Context(), "1", "taken")
		if !errors.Is(err, memory.ErrDeadlock) || !db.Inbox().Transient(err) {
			t.Errorf("the third: %v", err)
		}
		three.Rollback()
		wait.Wait()
		if want := map[string]string{"1": "held", "2": "taken", "3": "taken"}; !maps.Equal(db.Values(), want) {
			t.Errorf("values %v, want %v", db.Values(), want)
		}
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memory.New()
		first, second := db.Begin(), db.Begin()
		if err := first.Put(t.Context(), "a", "1"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- second.Put(ctx, "a", "2") }()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("put: %v", err)
		}
		second.Rollback()
		if err := first.Commit(); err != nil {
			t.Fatal(err)
		}
		// The one who gave up is not in the way.
		if err := db.InTx(t.Context(), func(ctx context.Context, tx *memory.Tx) error { return tx.Put(ctx, "a", "3") }); err != nil {
			t.Error(err)
		}
	})
}
