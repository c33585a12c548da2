package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"
)

func TestQueueIsInOrder(t *testing.T) {
	t.Parallel()
	var q queue
	ctx := context.Background()
	if err := q.acquire(ctx, time.Minute); err != nil {
		t.Fatal(err)
	}
	var order []int
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := q.acquire(ctx, time.Minute); err != nil {
				t.Error(err)
				return
			}
			order = append(order, i)
			q.release()
		}()
		for waits(&q) != i+1 {
			runtime.Gosched()
		}
	}
	q.release()
	wg.Wait()
	for i, n := range order {
		if i != n {
			t.Fatalf("order: %v", order)
		}
	}
}

func waits(q *queue) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

func TestQueueGivesUp(t *testing.T) {
	t.Parallel()
	var q queue
	if err := q.acquire(context.Background(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := q.acquire(context.Background(), time.Millisecond); !errors.Is(err, errQueueTimeout) || !transient(err) {
		t.Errorf("after the limit: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := q.acquire(ctx, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is done: %v", err)
	}
	q.release()
	if err := q.acquire(context.Background(), time.Millisecond); err != nil {
		t.Errorf("after release: %v", err)
	}
}

// Many goroutines write in transactions, single statements and statements that
// begin transactions, while others read; all of them get through.
func TestMixedWriters(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	if _, err := db.sql.Exec("CREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO counter VALUES (1, 0)"); err != nil {
		t.Fatal(err)
	}
	const goroutines, rounds = 6, 50
	const bump = "UPDATE counter SET n = n + 1"
	ways := []func() error{
		func() error {
			return db.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error { _, err := tx.Exec(bump); return err })
		},
		func() error { _, err := db.sql.Exec(bump); return err },
		func() error { return manually(ctx, db.sql, bump) },
	}
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range rounds {
				if err := ways[g%len(ways)](); err != nil {
					t.Error(err)
				}
				var n int
				if err := db.sql.QueryRow("SELECT n FROM counter").Scan(&n); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	var n int
	if err := db.sql.QueryRow("SELECT n FROM counter").Scan(&n); err != nil || n != goroutines*rounds {
		t.Errorf("counter is %d, %v; want %d", n, err, goroutines*rounds)
	}
}

func manually(ctx context.Context, pool *sql.DB, statement string) error {
	c, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	for _, s := range []string{"BEGIN IMMEDIATE", statement, "COMMIT"} {
		if err == nil {
			_, err = c.ExecContext(ctx, s)
		}
	}
	return errors.Join(err, c.Close())
}

// A transaction whose context ends gives its turn back.
func TestCancelledTransactionGivesItsTurnBack(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	ctx, cancel := context.WithCancel(context.Background())
	tx, err := db.sql.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	appendAll(t, db, message("k"))
	if err := tx.Commit(); err == nil {
		t.Error("the cancelled transaction was committed")
	}
}

func TestReadOnlyTransactionsDoNotWait(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	inTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
		reading, err := db.sql.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		var n int
		if err := reading.QueryRowContext(ctx, "SELECT COUNT(*) FROM tidings_outbox").Scan(&n); err != nil {
			return err
		}
		return reading.Rollback()
	})
}
