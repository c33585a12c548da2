package kafka

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b budget
		ctx, cancel := context.WithCancel(t.Context())
		take := func(size int) *atomic.Bool {
			var got atomic.Bool
			go func() { got.Store(b.take(ctx, size) == nil) }()
			synctest.Wait()
			return &got
		}
		if !take(2 * maxBytes).Load() {
			t.Fatal("a record above the bound does not pass alone")
		}
		waiting := take(1)
		if waiting.Load() {
			t.Fatal("a record passes although the bound is reached")
		}
		b.give(2 * maxBytes)
		synctest.Wait()
		if !waiting.Load() {
			t.Fatal("a waiting record does not pass when there is room")
		}
		for range maxRecords - 1 {
			if err := b.take(ctx, 1); err != nil {
				t.Fatal(err)
			}
		}
		waiting = take(1)
		b.give(1)
		synctest.Wait()
		if waiting.Load() {
			t.Fatal("a waiter is woken before a quarter is free")
		}
		for range maxRecords / 4 {
			b.give(1)
		}
		synctest.Wait()
		if !waiting.Load() {
			t.Fatal("a waiter is not woken when a quarter is free")
		}
		for range maxRecords * 3 / 4 {
			b.give(1)
		}
		if err := b.take(ctx, maxBytes); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := b.take(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Fatalf("take returned %v after its context was done", err)
		}
	})
}
