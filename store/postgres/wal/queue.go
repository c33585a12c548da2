package wal

import (
	"context"
	"sync"
	"time"

	"tidings.example/relay"
)

// queue is between the goroutine that reads the log and the one that calls Next. It
// holds a bounded number of rows; put waits for room, which makes the server wait.
type queue struct {
	mu    sync.Mutex
	rows  []relay.Row
	marks []mark
	bytes int
	// last is behind all that was put, also where that was no row.
	last mark
	err  error

	filled  chan struct{} // tells Next
	drained chan struct{} // tells put
}

// A mark is what is behind a row.
type mark struct {
	position  position
	committed int64
}

const (
	maxRows  = 4096
	maxBytes = 4 << 20
)

func newQueue(begin position) *queue {
	return &queue{last: mark{position: begin}, filled: make(chan struct{}, 1), drained: make(chan struct{}, 1)}
}

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put adds rows with their marks, and waits until there is room for more. It copies
// the slices. It returns the error of ctx, or of the queue, if that comes first.
func (q *queue) put(ctx context.Context, rows []relay.Row, marks []mark, last mark) error {
	q.mu.Lock()
	q.rows, q.marks, q.last = append(q.rows, rows...), append(q.marks, marks...), last
	for i := range rows {
		q.bytes += sizeOf(&rows[i])
	}
	for {
		full, err := len(q.rows) >= maxRows || q.bytes >= maxBytes, q.err
		q.mu.Unlock()
		tell(q.filled)
		if !full || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-q.drained:
		}
		q.mu.Lock()
	}
}

// sizeOf is about what a row has in memory.
func sizeOf(r *relay.Row) int { return len(r.Message.Payload) + 256 }

// advance notes that the log went on without rows.
func (q *queue) advance(last mark) {
	q.mu.Lock()
	q.last = last
	q.mu.Unlock()
	tell(q.filled)
}

// fail ends the queue: Next returns err once the rows are taken.
func (q *queue) fail(err error) {
	q.mu.Lock()
	if q.err == nil {
		q.err = err
	}
	q.mu.Unlock()
	tell(q.filled)
	tell(q.drained)
}

// take returns rows within the limits, and the mark behind them; without rows, the last mark.
func (q *queue) take(limit, bytes int) (rows []relay.Row, behind mark, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.rows) && n < limit && (n == 0 || size < bytes) {
		size += len(q.rows[n].Message.Payload)
		n++
	}
	switch {
	case n == 0:
		return nil, q.last, q.err
	case n == len(q.rows):
		// The log may have gone on behind the last row.
		rows, behind = q.rows, q.last
		q.rows, q.marks, q.bytes = make([]relay.Row, 0, n), q.marks[:0], 0
	default:
		rows, behind = append([]relay.Row(nil), q.rows[:n]...), q.marks[n-1]
		for i := range rows {
			q.bytes -= sizeOf(&rows[i])
		}
		left := copy(q.rows, q.rows[n:])
		clear(q.rows[left:])
		q.rows, q.marks = q.rows[:left], q.marks[:copy(q.marks, q.marks[n:])]
	}
	tell(q.drained)
	return rows, behind, nil
}

const (
	// The log has gone on by much, so that the position should be saved.
	muchBytes = 16 << 20
	muchTime  = 10 * time.Second
)
