package crash

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tidings.example"
)

// load is services that write. Each of its writers has keys of its own, so that
// it knows the order of their commits; what was committed is in the table
// written, whatever an error at a commit left unknown.
type load struct {
	w    *world
	stop context.CancelFunc
	done sync.WaitGroup
	// failing counts transactions that failed.
	failing atomic.Int64
	burst   atomic.Int64 // rows of a transaction that one writer is to make
}

const (
	writers       = 3
	keysPerWriter = 4
)

func newLoad(w *world) *load {
	ctx, cancel := context.WithCancel(w.ctx)
	l := &load{w: w, stop: cancel}
	for id := range writers {
		l.done.Go(func() { l.write(ctx, id) })
	}
	w.Cleanup(l.end)
	return l
}

// end stops the writers.
func (l *load) end() {
	l.stop()
	l.done.Wait()
}

// write commits small transactions, some of which it rolls back, about 300 rows a second.
func (l *load) write(ctx context.Context, id int) {
	random := rand.New(rand.NewPCG(uint64(id), 7))
	n := 0
	for ctx.Err() == nil {
		rows := 1 + random.IntN(4)
		if id == 0 {
			if burst := int(l.burst.Swap(0)); burst > 0 {
				rows = burst
			}
		}
		from := n
		n += rows
		if err := l.transact(ctx, id, from, rows, random.IntN(10) == 0); err != nil {
			l.failing.Add(1)
			pause(ctx, 100*time.Millisecond)
			continue
		}
		pause(ctx, 20*time.Millisecond)
	}
}

var errRollBack = errors.New("rolled back on purpose")

func (l *load) transact(ctx context.Context, id, from, rows int, rollBack bool) error {
	// A database that is away must not hold the writer for ever. The end of the
	// load does not cut a commit off: whether it took effect would show only later.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	tx, err := l.w.db.SQL.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = l.append(ctx, tx, id, from, rows)
	if err == nil && rollBack && rows < 10 {
		err = errRollBack
	}
	if err != nil {
		if e := tx.Rollback(); e == nil && errors.Is(err, errRollBack) {
			return nil
		}
		return err
	}
	return tx.Commit()
}

func (l *load) append(ctx context.Context, tx *sql.Tx, id, from, rows int) error {
	insert := `INSERT INTO written (message_id, k, n) VALUES ($1, $2, $3)`
	if l.w.kind == "mariadb" {
		insert = `INSERT INTO written (message_id, k, n) VALUES (?, ?, ?)`
	}
	for begin := 0; begin < rows; begin += 500 {
		var ms []tidings.Message
		for i := begin; i < min(rows, begin+500); i++ {
			n := from + i
			ms = append(ms, tidings.Message{ID: tidings.NewID(), Channel: l.w.channel, Key: fmt.Sprintf("%d-%d", id, n%keysPerWriter), Type: "Counted",
				Headers: map[string]string{"n": strconv.Itoa(n)}, Payload: []byte(`{"some":"thing that is a little longer than nothing"}`)})
		}
		for i := range ms {
			if _, err := tx.ExecContext(ctx, insert, ms[i].ID, ms[i].Key, ms[i].Headers["n"]); err != nil {
				return err
			}
		}
		if err := l.w.db.Outbox.Append(ctx, tx, ms...); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
