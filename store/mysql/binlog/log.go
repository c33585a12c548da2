package binlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tidings.example/relay"
)

// Log is the binary log as the holder of the lease reads it.
type Log struct {
	source   *Source
	settings settings
	stream   *stream
	buffer   *buffer
	before   *snapshot // until the first Next
	byFile   bool      // the server was asked for a file, not for GTIDs
	stop     context.CancelFunc
	tasks    sync.WaitGroup
	closing  sync.Once

	soon      *pending // the GTIDs of the place, which are not known yet
	at        position // behind the last row that was returned
	skip      int64    // rows behind the place that were done before
	committed time.Time
	log       int64 // bytes of log that were read up to here
	moved     bool
	saidLog   int64 // log, when the position was last returned
	said      time.Time
	highest   atomic.Int64 // position of a row of the table

	floors    floors
	confirmed chan relay.Checkpoint
	saved     atomic.Pointer[position]
}

var _ relay.Log = (*Log)(nil)

// Before returns rows as the table had them when the log began.
func (l *Log) Before(ctx context.Context, q relay.Query) ([]relay.Row, error) {
	if l.before == nil {
		return nil, errors.New("read the table as it was: the log did not begin afresh, or is read already")
	}
	rows, err := l.before.read(ctx, l.source, q)
	if err != nil {
		return nil, fmt.Errorf("read the table as it was when the log began: %w", err)
	}
	return rows, nil
}

const (
	// The position is worth saving after so much of the log without rows.
	idleBytes = 16 << 20
	idleTime  = 10 * time.Second
)

// Next returns what comes next. See [relay.Log].
func (l *Log) Next(ctx context.Context, limit, bytes int) (relay.LogBatch, error) {
	if l.before != nil {
		l.before.close()
		l.before = nil
	}
	if l.said.IsZero() {
		l.said = time.Now()
	}
	for {
		b, err := l.take(limit, bytes)
		if len(b.Rows) > 0 || l.moved && (l.log-l.saidLog >= idleBytes || time.Since(l.said) >= idleTime) {
			b.End, b.Committed = l.end(), l.committed
			b.Floor = l.floors.at(&l.at.place)
			l.moved, l.saidLog, l.said = false, l.log, time.Now()
			return b, nil
		}
		if err != nil {
			return relay.LogBatch{}, l.ended(err)
		}
		timer := time.NewTimer(idleTime)
		select {
		case <-l.buffer.ready:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return relay.LogBatch{}, ctx.Err()
		}
		timer.Stop()
	}
}

// worthSharing is a number of rows that are not copied to add others to them.
const worthSharing = 500

// take takes what the buffer has.
func (l *Log) take(limit, bytes int) (relay.LogBatch, error) {
	var b relay.LogBatch
	var wrong error
	size, shared := 0, false
	err := l.buffer.take(func(e *entry, there int) bool {
		if e.reached {
			wrong = errors.Join(wrong, l.reach(e))
			return true
		}
		if skip := min(l.skip, int64(len(e.rows))); skip > 0 {
			l.skip -= skip
			l.at.rows += skip
			e.drop(int(skip))
		}
		n := 0
		for ; !shared && n < len(e.rows) && len(b.Rows)+n < limit && (len(b.Rows)+n == 0 || size < bytes); n++ {
			size += len(e.rows[n].Message.Payload)
			l.note(&e.rows[n])
		}
		if n == 0 {
			return len(e.rows) == 0
		}
		l.at.rows += int64(n)
		l.committed = time.UnixMicro(e.micros).UTC()
		switch whole := n == len(e.rows); {
		case b.Rows == nil && (n == there || n >= worthSharing || !whole):
			b.Rows, shared = e.rows[:n:n], true
		case b.Rows == nil:
			b.Rows = append(make([]relay.Row, 0, min(limit, there)), e.rows[:n]...)
		default:
			b.Rows = append(b.Rows, e.rows[:n]...)
		}
		e.drop(n)
		return len(e.rows) == 0
	})
	if wrong != nil && len(b.Rows) == 0 {
		return b, wrong
	}
	return b, err
}

// drop takes n rows from the front.
func (e *entry) drop(n int) {
	e.size -= e.size * n / max(len(e.rows), 1)
	e.rows = e.rows[n:]
}

func (l *Log) note(r *relay.Row) {
	if r.Position > l.highest.Load() {
		l.highest.Store(r.Position)
	}
}

// end is the position behind what was returned.
func (l *Log) end() []byte {
	p := l.at
	p.rows += l.skip
	return p.text()
}

// reach moves the place.
func (l *Log) reach(e *entry) error {
	if l.skip > 0 && l.at.rows > 0 {
		return &lostError{fmt.Sprintf("the log at %s:%d does not hold the rows that it held when its position was saved", l.at.file, l.at.at)}
	}
	set := l.at.set
	if l.soon != nil {
		set = l.soon.set
	}
	if set != nil {
		set.add(e.gtid)
		for _, g := range e.more {
			set.add(g)
		}
	}
	l.at.file, l.at.at, l.at.columns, l.at.rows = e.file, e.at, e.columns, 0
	l.at.created, l.at.server = e.created, l.settings.identity
	if l.soon != nil && l.soon.reachedBy(&l.at.place) {
		l.at.set, l.soon = l.soon.set, nil
	}
	if e.micros > 0 {
		l.committed = time.UnixMicro(e.micros).UTC()
	}
	l.log, l.moved = e.log, true
	return nil
}

// ended is the error of a log that has ended.
func (l *Log) ended(err error) error {
	var lost *lostError
	if !errors.As(err, &lost) && l.source.cutOff(err, l.at.file) {
		lost = &lostError{fmt.Sprintf("the server has crashed while it wrote its log file %s, perhaps with a full disk: "+
			"the file ends within an event, and the log goes on in another", l.at.file)}
		err = fmt.Errorf("%w: %w", lost, err)
	}
	if lost != nil {
		l.source.forget(l.at.file, l.at.at, lost.why)
	}
	return fmt.Errorf("read the log of outbox %q behind %s: %w", l.source.Name(), l.end(), l.source.explain(err))
}

// Aside returns set-aside rows.
func (l *Log) Aside(ctx context.Context, q relay.AsideQuery) ([]relay.Row, error) {
	return l.source.db.ReadAside(ctx, q)
}

// Close ends the reading. The server keeps nothing for a reader, so forget
// changes nothing.
func (l *Log) Close(context.Context, bool) error {
	l.closing.Do(func() {
		l.stop()
		l.buffer.close()
		l.source.close(l.stream)
		l.tasks.Wait()
		if l.before != nil {
			l.before.close()
			l.before = nil
		}
	})
	return nil
}
