package mysql

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tidings.example/relay"
)

const (
	// A session asks the server for new rows this often at first after it has
	// seen some, and then less and less often.
	shortestPause = time.Millisecond
	longestPause  = 20 * time.Millisecond
	// After an append whose commit this package does not see, it looks for it
	// this often and this long.
	commitPause    = time.Millisecond
	commitPatience = 50 * time.Millisecond
	// probedPositions bounds the skipped positions that are probed for; the
	// relay reads the others when it is idle for long.
	probedPositions = 100
	// probeTimeout bounds one question.
	probeTimeout = 5 * time.Second
)

// waiting is what a session knows of its last read.
type waiting struct {
	skipped []int64 // positions that were asked for and are not there yet
	high    int64   // the highest position ever read
	pause   time.Duration
}

// beforeRead forgets a signal: whatever it announced is committed, and the read
// that begins now sees it.
func (s *session) beforeRead(q relay.Query) {
	s.wake.skipped = s.wake.skipped[:0]
	for _, r := range q.Ranges {
		for p := r.First; p <= r.Last && len(s.wake.skipped) < probedPositions; p++ {
			s.wake.skipped = append(s.wake.skipped, p)
		}
	}
	if !s.db.owned {
		return
	}
	select {
	case <-s.signal:
	default:
	}
}

func (s *session) afterRead(rows []relay.Row) {
	for i := range rows {
		position := rows[i].Position
		s.wake.high = max(s.wake.high, position)
		s.wake.skipped = slices.DeleteFunc(s.wake.skipped, func(p int64) bool { return p == position })
	}
	if len(rows) > 0 {
		s.wake.pause = shortestPause
	}
}

// Wait returns at once after a commit of this process that has appended. For
// what others append it asks the server every millisecond at first, and up to
// every 20 ms when nothing comes.
func (s *session) Wait(ctx context.Context, idle time.Duration) error {
	end := time.Now().Add(idle)
	urgent := time.Time{} // look often until then
	for {
		s.wake.pause = min(max(s.wake.pause, shortestPause), longestPause)
		pause := min(s.wake.pause, time.Until(end))
		if time.Now().Before(urgent) {
			pause = commitPause
		}
		timer := time.NewTimer(max(pause, 0))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-s.signal:
			timer.Stop()
			if s.db.owned {
				return nil
			}
			urgent = time.Now().Add(commitPatience)
		case <-timer.C:
			s.wake.pause *= 2
		}
		if !time.Now().Before(end) {
			return nil
		}
		more, err := s.probe(ctx)
		if err != nil || more {
			return err
		}
	}
}

const (
	newRowsSQL = `SELECT EXISTS (SELECT 1 FROM tidings_outbox WHERE position > ?)`

	skippedRowsSQL = newRowsSQL + ` OR EXISTS (SELECT 1 FROM tidings_outbox WHERE position IN (`
)

// probe tells whether rows have come: above, or where one was skipped.
func (s *session) probe(ctx context.Context) (bool, error) {
	query, args := newRowsSQL, []any{s.wake.high}
	if len(s.wake.skipped) > 0 {
		query = skippedRowsSQL + repeat("?", ", ", len(s.wake.skipped)) + "))"
		for _, p := range s.wake.skipped {
			args = append(args, p)
		}
	}
	// The driver closes a connection whose query is cancelled, and the session
	// needs it after the end of a wait.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	var more bool
	if err := s.conn.QueryRowContext(ctx, query, args...).Scan(&more); err != nil {
		return false, fmt.Errorf("look for new rows: %w", err)
	}
	return more, nil
}
