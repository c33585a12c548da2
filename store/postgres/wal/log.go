package wal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
	"tidings.example/store/postgres"
)

// Log is the log of the holder of a lease.
type Log struct {
	source *Source
	fence  int64
	slot   string

	beginning sync.Mutex
	snapshot  *postgres.Snapshot // until the first Next

	stream   *stream
	queue    *queue
	watch    watch
	removals chan []byte // the set to remove; the newest one counts

	// What Next has returned.
	returned   position
	returnedAt time.Time

	stop   context.CancelCauseFunc
	ended  sync.WaitGroup
	closed sync.Once
}

var _ relay.Log = (*Log)(nil)

// closeTimeout bounds what is done on the server while closing.
const closeTimeout = 5 * time.Second

// log starts the goroutines that read the log, once the replication has begun.
func (o *opening) log(at position) *Log {
	// From here on the connection's protocol is ours. It cannot fail: the
	// connection is not closed.
	hijacked, _ := o.conn.Hijack()
	q := newQueue(at)
	s := &stream{conn: hijacked.Conn, frames: o.frames, queue: q, timing: timingFor(o.server.timeout), began: time.Now(), wake: make(chan struct{}, 1)}
	s.decode.schema, s.decode.at, s.decode.skip = o.server.schema, position{lsn: at.lsn}, at.rows
	s.confirmed.Store(uint64(at.lsn))
	l := &Log{source: o.Source, fence: o.fence, slot: o.slot, snapshot: o.snapshot, stream: s, queue: q, removals: make(chan []byte, 1),
		watch:    watch{conn: o.control, table: o.server.table, growing: o.growing, high: &s.high},
		returned: at, returnedAt: time.Now()}
	ctx, stop := context.WithCancelCause(context.Background())
	l.stop = stop
	l.run(ctx, s.read)
	l.run(ctx, s.answer)
	l.run(ctx, l.watch.run)
	l.ended.Go(func() { l.remove(ctx) })
	return l
}

var errClosed = errors.New("the log was closed")

// run runs one of the goroutines; when it fails, so does the reading.
func (l *Log) run(ctx context.Context, work func(context.Context) error) {
	l.ended.Go(func() {
		err := work(ctx)
		if err == nil {
			return
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		l.queue.fail(fmt.Errorf("read the log of outbox %q: %w", l.source.Name(), err))
		l.stop(err)
		// The reader waits for the server, not for ctx.
		_ = l.stream.conn.Close()
	})
}

// Before reads the table at the log's beginning.
func (l *Log) Before(ctx context.Context, q relay.Query) ([]relay.Row, error) {
	l.beginning.Lock()
	defer l.beginning.Unlock()
	if l.snapshot == nil {
		return nil, errors.New("the log did not begin now, or reading it has begun")
	}
	return l.snapshot.Read(ctx, q)
}

// begun closes the snapshot.
func (l *Log) begun(ctx context.Context) {
	l.beginning.Lock()
	defer l.beginning.Unlock()
	if l.snapshot != nil {
		l.snapshot.Close(ctx)
		l.snapshot = nil
	}
}

// Next returns what comes next.
func (l *Log) Next(ctx context.Context, limit, bytes int) (relay.LogBatch, error) {
	l.begun(ctx)
	for {
		rows, behind, err := l.queue.take(limit, bytes)
		idle := muchTime - time.Since(l.returnedAt)
		switch moved := behind.position != l.returned; {
		case len(rows) > 0 || moved && err == nil && (idle <= 0 || behind.position.lsn-l.returned.lsn >= muchBytes):
			l.returned, l.returnedAt = behind.position, time.Now()
			batch := relay.LogBatch{Rows: rows, End: []byte(behind.position.String()), Floor: l.watch.floorAt(behind.position.lsn)}
			if behind.committed != 0 {
				batch.Committed = timeOf(behind.committed)
			}
			if at := l.watch.committedAt(behind.position.lsn); at.After(batch.Committed) {
				batch.Committed = at
			}
			return batch, nil
		case err != nil:
			return relay.LogBatch{}, l.source.explainEnd(ctx, l.slot, err)
		case !moved:
			idle = muchTime
		}
		timer := time.NewTimer(max(idle, 0))
		select {
		case <-ctx.Done():
			err = fmt.Errorf("wait for the log: %w", ctx.Err())
		case <-l.queue.filled:
		case <-timer.C:
		}
		timer.Stop()
		if err != nil {
			return relay.LogBatch{}, err
		}
	}
}

// Aside reads set-aside rows from their table.
func (l *Log) Aside(ctx context.Context, q relay.AsideQuery) ([]relay.Row, error) {
	return l.source.db.ReadAside(ctx, q)
}

// Confirm lets the server forget its log below the checkpoint, and the table the rows
// that are published.
func (l *Log) Confirm(c relay.Checkpoint) {
	p, err := parsePosition(string(c.Position))
	if err != nil || uint64(p.lsn) < l.stream.confirmed.Load() {
		return
	}
	l.stream.confirmed.Store(uint64(p.lsn))
	tell(l.stream.wake)
	if len(c.Published) == 0 {
		return
	}
	select {
	case <-l.removals:
	default:
	}
	select {
	case l.removals <- c.Published:
	default:
	}
}

// removeInterval is how often rows are removed at most.
const removeInterval = time.Second

// remove removes published rows. What fails is tried again with the next checkpoint:
// the rows are only in the way.
func (l *Log) remove(ctx context.Context) {
	failures := sqlstore.RemovalFailures(l.source.options.Logger, l.source.Name())
	for {
		select {
		case <-ctx.Done():
			return
		case encoded := <-l.removals:
			set, err := relay.DecodePositionSet(encoded)
			if err == nil {
				err = l.source.db.RemovePublished(ctx, set)
			}
			if ctx.Err() == nil {
				failures.Note(err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(removeInterval):
		}
	}
}

const lagSQL = `SELECT pg_current_wal_lsn()::text, COALESCE((SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = $1), ''),
	(SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size')`

// Lag asks the server how far the saved position is behind.
func (l *Log) Lag(ctx context.Context) (relay.Lag, error) {
	lag, err := lagOf(ctx, l.source.db.Pool(), l.slot, pglogrepl.LSN(l.stream.confirmed.Load()))
	if err != nil {
		return relay.Lag{}, fmt.Errorf("read the lag of outbox %q: %w", l.source.Name(), err)
	}
	return lag, nil
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func lagOf(ctx context.Context, q querier, slot string, saved pglogrepl.LSN) (relay.Lag, error) {
	var end, restart string
	var limit int64
	if err := q.QueryRow(ctx, lagSQL, slot).Scan(&end, &restart, &limit); err != nil {
		return relay.Lag{}, err
	}
	now, err := parsePosition(end)
	if err != nil {
		return relay.Lag{}, err
	}
	lag := relay.Lag{Bytes: max(int64(now.lsn-saved), 0), Limit: max(limit, 0) << 20}
	if restart != "" {
		kept, err := parsePosition(restart)
		if err != nil {
			return relay.Lag{}, err
		}
		lag.Retained = max(int64(now.lsn-kept.lsn), 0)
	}
	return lag, nil
}

// Close ends the reading, and with forget drops the replication slot.
func (l *Log) Close(ctx context.Context, forget bool) error {
	l.closed.Do(func() {
		l.stop(errClosed)
		l.queue.fail(errClosed)
		l.stream.goodbye()
		_ = l.stream.conn.Close()
		l.ended.Wait()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		l.begun(ctx)
		_ = l.watch.conn.Close(ctx)
	})
	if !forget {
		return nil
	}
	if err := l.source.drop(ctx, l.slot, l.fence); err != nil {
		return fmt.Errorf("forget the log of outbox %q: %w", l.source.Name(), err)
	}
	return nil
}
