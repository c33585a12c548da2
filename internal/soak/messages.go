package soak

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"tidings.example"
	"tidings.example/internal/connect"
)

// messages loads an outbox directly. Each worker has keys of its own and commits
// one transaction after the other, so that the order of its numbers is that of
// the commits; what was committed stands in soak_committed, written by the same
// transaction, however its commit ended for the caller.
type messages struct {
	db      *connect.Database
	channel string
	n, rate int

	taken  atomic.Int64 // of n
	failed atomic.Int64 // transactions
}

const (
	workers       = 8
	keysPerWorker = 25
	// burst rows come in one transaction now and then.
	burst = 5000
)

// prepare makes the tables of a run.
func (l *messages) prepare(ctx context.Context) error {
	if _, err := l.db.Admin.Migrate(ctx); err != nil {
		return err
	}
	_, err := l.db.SQL.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS soak_committed (worker int not null,
		first_number bigint not null, last_number bigint not null, primary key (worker, first_number))`)
	if err != nil {
		return fmt.Errorf("create soak_committed: %w", err)
	}
	return nil
}

// run appends at the rate until n are committed or ctx is done. Transactions that
// fail are no error: parts of the system are being killed.
func (l *messages) run(ctx context.Context, seed uint64) {
	var wait sync.WaitGroup
	begin := time.Now()
	for w := range workers {
		wait.Go(func() { l.work(ctx, w, rand.New(rand.NewPCG(seed, uint64(w))), begin) })
	}
	wait.Wait()
}

func (l *messages) work(ctx context.Context, worker int, random *rand.Rand, begin time.Time) {
	for number := int64(0); ctx.Err() == nil; {
		rows := 1 + random.IntN(40)
		if random.IntN(400) == 0 {
			rows = burst
		}
		from := l.taken.Add(int64(rows)) - int64(rows)
		rows = min(rows, l.n-int(from))
		if rows <= 0 {
			return
		}
		due := begin.Add(time.Duration(float64(from) / float64(l.rate) * float64(time.Second)))
		if pause(ctx, time.Until(due)) != nil {
			return
		}
		if err := l.transact(ctx, worker, number, rows); err != nil {
			// Whether it was committed will be seen; its numbers are not used again.
			l.failed.Add(1)
			l.taken.Add(-int64(rows))
			_ = pause(ctx, 100*time.Millisecond) // the loop's condition is the same
		}
		number += int64(rows)
	}
}

// transact is not cut off by the end of the load: whether it was committed would
// show only later.
func (l *messages) transact(ctx context.Context, worker int, first int64, rows int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	tx, err := l.db.SQL.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := l.append(ctx, tx, worker, first, rows); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (l *messages) append(ctx context.Context, tx *sql.Tx, worker int, first int64, rows int) error {
	statement := `INSERT INTO soak_committed (worker, first_number, last_number) VALUES (?, ?, ?)`
	if l.db.Kind == "postgres" {
		statement = `INSERT INTO soak_committed (worker, first_number, last_number) VALUES ($1, $2, $3)`
	}
	if _, err := tx.ExecContext(ctx, statement, worker, first, first+int64(rows)-1); err != nil {
		return err
	}
	for from := 0; from < rows; from += 500 {
		ms := make([]tidings.Message, 0, 500)
		for i := from; i < min(from+500, rows); i++ {
			number := first + int64(i)
			ms = append(ms, tidings.Message{ID: fmt.Sprintf("%d-%d", worker, number), Channel: l.channel,
				Key: fmt.Sprintf("%d-%d", worker, number%keysPerWorker), Type: "SoakEvent", ContentType: "application/json",
				Payload: fmt.Appendf(nil, `{"worker":%d,"number":%d,"note":"what a row of a business has in it"}`, worker, number)})
		}
		if err := l.db.Outbox.Append(ctx, tx, ms...); err != nil {
			return err
		}
	}
	return nil
}
