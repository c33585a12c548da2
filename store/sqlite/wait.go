package sqlite

import (
	"context"
	"fmt"
	"time"

	"tidings.example/relay"
)

const (
	// A session asks whether another process has written: the answer comes
	// from shared memory and takes microseconds. After rows were read it asks
	// every firstProbe, and then less and less often, down to every lastProbe.
	firstProbe = time.Millisecond
	lastProbe  = 25 * time.Millisecond
	// After an append whose commit this package does not see, a session
	// looks for it this often and this long.
	commitInterval = 500 * time.Microsecond
	commitPatience = 50 * time.Millisecond
)

// waiting is what a session knows of its last read.
type waiting struct {
	ranges []relay.Range
	high   int64 // the highest position ever read
	// version is the database's at the last read that found nothing more.
	version int64
	// probe is the pause before the next question.
	probe time.Duration
}

// beforeRead forgets a signal: whatever it announced is committed, and the
// read that begins now sees it.
func (s *session) beforeRead(q relay.Query) {
	s.wake.ranges = q.Ranges
	if !s.db.queued {
		return
	}
	select {
	case <-s.signal:
	default:
	}
}

func (s *session) afterRead(rows []relay.Row) {
	if len(rows) > 0 {
		s.wake.probe = firstProbe
	}
	for i := range rows {
		s.wake.high = max(s.wake.high, rows[i].Position)
	}
}

const (
	versionSQL = mark + `PRAGMA data_version`

	newRowsSQL = mark + `SELECT EXISTS (SELECT 1 FROM tidings_outbox WHERE position > ?)`
)

// Wait returns at once after a commit of this process that has appended, and
// within lastProbe after one of another process.
func (s *session) Wait(ctx context.Context, idle time.Duration) error {
	end := time.Now().Add(idle)
	urgent := time.Time{} // look often until then
	for {
		pause := min(s.wake.probe, time.Until(end))
		s.wake.probe = min(s.wake.probe+s.wake.probe/8+1, lastProbe)
		if time.Now().Before(urgent) {
			pause = commitInterval
		}
		timer := time.NewTimer(max(pause, 0))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-s.signal:
			timer.Stop()
			if s.db.queued {
				return nil
			}
			urgent = time.Now().Add(commitPatience)
		case <-timer.C:
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

// probe tells whether somebody has appended. The version changes with every
// transaction of another connection, so it is asked first.
func (s *session) probe(ctx context.Context) (bool, error) {
	var version int64
	if err := s.reader.QueryRowContext(ctx, versionSQL).Scan(&version); err != nil {
		return false, fmt.Errorf("ask for the data version: %w", err)
	}
	if version == s.wake.version {
		return false, nil
	}
	var more bool
	if err := s.reader.QueryRowContext(ctx, newRowsSQL, s.wake.high).Scan(&more); err != nil {
		return false, fmt.Errorf("look for new rows: %w", err)
	}
	if !more {
		s.wake.version = version
	}
	return more, nil
}
