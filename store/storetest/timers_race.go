package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"tidings.example"
)

func testTimerSkips[Tx any](e *env[Tx]) {
	e.delay(at(1), complete("a"), complete("b"), complete("c"), complete("d"))
	e.ok(e.db.Timers.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		ms, err := e.db.Timers.Take(ctx, tx, at(5), 2)
		if err != nil {
			return err
		}
		if got := messageIDs(ms); got != "a b" {
			e.Errorf("first took %q", got)
		}
		if got := messageIDs(e.take(at(5), 10)); got != "c d" {
			e.Errorf("second took %q", got)
		}
		// Storing and cancelling others is not held up.
		e.delay(at(2), complete("e"), complete("f"))
		e.inTx(func(tx Tx) error {
			_, err := e.db.Timers.Cancel(e.ctx, tx, "f")
			return err
		})
		return nil
	}))
	if got := messageIDs(e.take(at(5), 10)); got != "e" {
		e.Errorf("then took %q", got)
	}
}

func testTimerRace[Tx any](e *env[Tx]) {
	const batches, size, takers = 20, 10, 6
	var mu sync.Mutex
	taken := map[string]int{}
	total, cancelled := 0, 0
	var wait sync.WaitGroup
	var stored sync.WaitGroup
	again := func(fn func(ctx context.Context, tx Tx) error) bool {
		for {
			err := e.db.Timers.InTx(e.ctx, fn)
			if err == nil {
				return true
			}
			if !e.db.Timers.Transient(err) {
				e.Error(err)
				return false
			}
		}
	}
	for b := range batches {
		stored.Add(1)
		wait.Go(func() {
			defer stored.Done()
			var ms []tidings.Message
			for i := range size {
				ms = append(ms, complete(fmt.Sprintf("%d-%d", b, i)))
			}
			if !again(func(ctx context.Context, tx Tx) error { return e.db.Timers.Delay(ctx, tx, at(b%5), ms) }) {
				return
			}
			var gone bool
			if again(func(ctx context.Context, tx Tx) (err error) {
				gone, err = e.db.Timers.Cancel(ctx, tx, ms[size-1].ID)
				return err
			}) && gone {
				mu.Lock()
				cancelled++
				mu.Unlock()
			}
		})
	}
	for range takers {
		wait.Go(func() {
			for e.ctx.Err() == nil {
				var ms []tidings.Message
				if !again(func(ctx context.Context, tx Tx) (err error) {
					ms, err = e.db.Timers.Take(ctx, tx, at(10), 7)
					return err
				}) {
					return
				}
				mu.Lock()
				for _, m := range ms {
					taken[m.ID]++
					total++
				}
				done := total+cancelled == batches*size
				mu.Unlock()
				if done {
					return
				}
				if len(ms) == 0 {
					stored.Wait()
					if _, ok, err := e.db.Timers.Next(e.ctx); !ok || err != nil {
						return
					}
				}
			}
		})
	}
	wait.Wait()
	for id, n := range taken {
		if n != 1 {
			e.Errorf("%s was taken %d times", id, n)
		}
	}
	if total+cancelled != batches*size {
		e.Errorf("%d taken and %d cancelled of %d", total, cancelled, batches*size)
	}
	if !slices.Contains([]int{0, batches}, cancelled) {
		e.Logf("%d were cancelled in time", cancelled)
	}
}
