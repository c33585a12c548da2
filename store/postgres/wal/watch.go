package wal

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"tidings.example/store/postgres"
)

// watch looks once a second, beside the log, which transactions may still hold
// positions that were handed out: whoever has taken one holds the table's lock
// until its transaction ends. When all who held it at one look have ended before a
// later one, their rows are in the log below its end at the later one, and no row
// comes behind that with a position up to the highest one that had been
// read at the first.
//
// It also finds out that the server is going down, which a reader of the log is not
// told: such a server waits until its log was confirmed, while nothing can be saved.
type watch struct {
	conn  *pgx.Conn
	table uint32
	// growing is set where positions are handed out in order. Otherwise there is no floor.
	growing bool
	high    *atomic.Int64 // the highest position that was read

	// The look that the next ones are compared with.
	before   int64
	appended []string

	mu     sync.Mutex
	floors []floor // in the order of the log
	last   int64
	// What was committed before a look lies below the end of the log that it found:
	// the look that was not read up to yet, and the last one that was.
	ahead struct {
		end pglogrepl.LSN
		at  time.Time
	}
	passed time.Time
}

// A floor holds from a place in the log on.
type floor struct {
	from     pglogrepl.LSN
	position int64
}

const (
	watchInterval = time.Second
	watchTimeout  = 10 * time.Second
)

func (w *watch) run(ctx context.Context) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := w.look(ctx); err != nil {
			return err
		}
	}
}

func (w *watch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	high, asked := w.high.Load(), time.Now() // before it is asked who appends
	now, err := postgres.ReadAppenders(ctx, w.conn, w.table)
	if err != nil {
		return err
	}
	end, err := parsePosition(now.LSN)
	if err != nil {
		return fmt.Errorf("the end of the log: %w", err)
	}
	w.mu.Lock()
	if w.ahead.end == 0 {
		w.ahead.end, w.ahead.at = end.lsn, asked
	}
	w.mu.Unlock()
	if w.growing {
		w.compare(high, now.Transactions, end.lsn)
	}
	return nil
}

func (w *watch) compare(high int64, appending []string, end pglogrepl.LSN) {
	if slices.ContainsFunc(w.appended, func(t string) bool { return slices.Contains(appending, t) }) {
		return
	}
	if w.before > 0 {
		w.mu.Lock()
		if n := len(w.floors); n == 0 || w.floors[n-1].position < w.before {
			w.floors = append(w.floors, floor{from: end, position: w.before})
		}
		// Of those that wait for a slow reader, many are as good as some.
		if len(w.floors) > 64 {
			w.floors = slices.Delete(w.floors, 0, 32)
		}
		w.mu.Unlock()
	}
	w.before, w.appended = high, appending
}

// committedAt returns a time, by the clock of this process: what was committed before
// is not behind this place in the log. It is zero if nothing is known. Where other
// tables fill the log, and no row comes, nothing else tells that.
func (w *watch) committedAt(end pglogrepl.LSN) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ahead.end != 0 && w.ahead.end <= end {
		w.passed, w.ahead.end = w.ahead.at, 0
	}
	return w.passed
}

// floorAt returns the floor of a batch that ends here, or 0 where there is no new one.
func (w *watch) floorAt(end pglogrepl.LSN) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for n < len(w.floors) && w.floors[n].from <= end {
		n++
	}
	if n == 0 {
		return 0
	}
	position := w.floors[n-1].position
	w.floors = slices.Delete(w.floors, 0, n)
	if position <= w.last {
		return 0
	}
	w.last = position
	return position
}
