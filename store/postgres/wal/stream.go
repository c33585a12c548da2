package wal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"tidings.example/relay"
)

// stream is a connection on which the server sends its log. One goroutine reads, see
// read, and one answers, see answer: the server must hear of us also while the
// reader waits for room in the queue.
type stream struct {
	conn   net.Conn
	frames *framer
	decode decoder
	queue  *queue
	timing timing

	// received is when the server was last heard of, in nanoseconds of the
	// monotonic clock since began; waiting is set while the reader waits for
	// the queue and would not hear.
	began     time.Time
	received  atomic.Int64
	waiting   atomic.Bool
	asked     atomic.Bool   // the server wants an answer at once
	confirmed atomic.Uint64 // the server need not keep the log below it
	high      atomic.Int64  // the highest position of a row of the table
	wake      chan struct{} // for the answer

	// What is not in the queue yet.
	rows  []relay.Row
	marks []mark
	bytes int
	whole int // how many of the rows are of transactions that were read to their end
}

// Rows of a large transaction are handed over in pieces.
const (
	pieceRows  = 64
	pieceBytes = 256 << 10
)

// read reads until the connection ends, and returns why.
func (s *stream) read(ctx context.Context) error {
	for {
		if !s.frames.ready() && s.whole > 0 {
			if err := s.flush(ctx, s.whole); err != nil {
				return err
			}
		}
		kind, content, cut, err := s.frames.next()
		if err != nil {
			return fmt.Errorf("the connection ended: %w", err)
		}
		s.received.Store(int64(time.Since(s.began)))
		switch kind {
		case 'd':
			if err := s.data(ctx, content, cut); err != nil {
				return err
			}
		case 'E':
			var e pgproto3.ErrorResponse
			if err := e.Decode(content); err != nil {
				return fmt.Errorf("the server sent an error that cannot be read: %w", err)
			}
			return pgconn.ErrorResponseToPgError(&e)
		case 'N', 'S', 'A':
		case 'c', 'C', 'Z':
			return errors.New("the server ended the replication; it stops, or stops to be a primary")
		default:
			return fmt.Errorf("the server sent a message of kind %q", kind)
		}
	}
}

func (s *stream) data(ctx context.Context, content []byte, cut int) error {
	if len(content) == 0 {
		return errShort
	}
	switch content[0] {
	case 'w':
		if len(content) < 25 {
			return errShort
		}
		return s.message(ctx, content[25:], cut)
	case 'k':
		end, reply, ok := keepalive(content[1:])
		if !ok {
			return errShort
		}
		if reply {
			s.asked.Store(true)
			tell(s.wake)
		}
		// All before it was sent. What was sent before the beginning is passed over.
		if !s.decode.inside && end > s.decode.at.lsn {
			s.decode.at.lsn = end
			s.advance()
		}
	}
	return nil
}

func (s *stream) message(ctx context.Context, message []byte, cut int) error {
	event, row, err := s.decode.take(message, cut)
	if err != nil {
		return err
	}
	switch event {
	case aRow:
		// The last row waits for its commit, so that the position behind it is
		// that of the whole transaction.
		if len(s.rows) >= pieceRows || s.bytes >= pieceBytes {
			if err := s.flush(ctx, len(s.rows)); err != nil {
				return err
			}
		}
		if row.Position > s.high.Load() {
			s.high.Store(row.Position)
		}
		s.rows = append(s.rows, row)
		s.marks = append(s.marks, mark{s.decode.at, s.decode.committed})
		s.bytes += sizeOf(&row)
	case aCommit:
		if len(s.rows) == 0 || s.whole == len(s.rows) {
			s.advance()
			return nil
		}
		s.whole = len(s.rows)
		s.marks[s.whole-1].position = s.decode.at
	}
	return nil
}

// flush hands over the first n rows.
func (s *stream) flush(ctx context.Context, n int) error {
	s.waiting.Store(true)
	err := s.queue.put(ctx, s.rows[:n], s.marks[:n], s.marks[n-1])
	// From now on the server counts as heard of.
	s.received.Store(int64(time.Since(s.began)))
	s.waiting.Store(false)
	left := copy(s.rows, s.rows[n:])
	clear(s.rows[left:])
	s.rows, s.marks = s.rows[:left], s.marks[:copy(s.marks, s.marks[n:])]
	s.whole, s.bytes = max(s.whole-n, 0), 0
	for i := range s.rows {
		s.bytes += sizeOf(&s.rows[i])
	}
	return err
}

// advance tells of a position that no row leads to. No transaction is open then.
func (s *stream) advance() {
	at := s.decode.at
	at.rows += s.decode.skip
	if n := len(s.rows); n > 0 {
		s.marks[n-1].position = at
		return
	}
	s.queue.advance(mark{at, s.decode.committed})
}
