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

// take takes what the buffer has.
func (l *Log) take(limit, bytes int) (relay.LogBatch, error) {
	var b relay.LogBatch
	var wrong error
	size := 0
	err := l.buffer.take(func(e *entry) bool {
		if e.reached {
			wrong = errors.Join(wrong, l.reach(e))
			return true
		}
		if l.skip > 0 {
			l.skip--
			l.at.rows++
			return true
		}
		if len(b.Rows) >= limit || len(b.Rows) > 0 && size >= bytes {
			return false
		}
		b.Rows = append(b.Rows, e.row)
		size += len(e.row.Message.Payload)
		l.at.rows++
		l.committed = time.UnixMicro(e.micros).UTC()
		if e.row.Position > l.highest.Load() {
			l.highest.Store(e.row.Position)
		}
		return true
	})
	if wrong != nil && len(b.Rows) == 0 {
		return b, wrong
	}
	return b, err
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
	if errors.As(err, &lost) {
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
