package binlog

import (
	"context"
	"fmt"
	"math"
	"net"

	"github.com/go-mysql-org/go-mysql/replication"

	"tidings.example/relay"
)

// start opens the stream, and waits until the server sends what is asked for.
//
// A server that is asked for GTIDs reads a file of its log from the start to find
// them, which takes seconds where files are large. So the server that the place
// is of is asked for the file and the offset, and only another one, or one that does not have
// this very file any more, for the GTIDs.
func (s *Source) start(ctx context.Context, from position, v *settings) (*Log, error) {
	var soon *pending
	if s.byGTID && from.set == nil && s.access.MariaDB() {
		var err error
		if soon, err = s.pending(ctx); err != nil {
			return nil, s.explain(err)
		}
		if soon.reachedBy(&from.place) && from.rows == 0 {
			from.set, soon = soon.set, nil
		}
	}
	if from.set == nil || from.here(v.identity) {
		l, err := s.startAt(ctx, from, v, true)
		if err == nil {
			l.soon = soon
			return l, nil
		}
		if from.set == nil || ctx.Err() != nil {
			return nil, err
		}
	}
	return s.startAt(ctx, from, v, false)
}

// here tells whether the file is one that this server has written, and may still
// have. The server says whether it is that very file: see begins.
func (p *place) here(identity string) bool {
	return p.server == identity && p.at <= math.MaxUint32
}

// startAt opens the stream by file and offset or else by GTIDs.
func (s *Source) startAt(ctx context.Context, from position, v *settings, byFile bool) (*Log, error) {
	life, stop := context.WithCancel(context.Background())
	l := &Log{source: s, buffer: newBuffer(), at: from, skip: from.rows, stop: stop, settings: *v, byFile: byFile,
		confirmed: make(chan relay.Checkpoint, 1)}
	l.at.rows, l.at.set = 0, from.set.clone()
	l.saved.Store(&from)
	r := &reader{source: s, out: l.buffer, columns: from.columns, file: from.file, at: from.at,
		maps: map[uint64]*table{}, sources: map[[16]byte]string{}, prepared: map[string]entry{}}
	r.lookUp = func(which int) (layout, error) { return s.columnsSince(life, r, which) }
	asked := from.place
	if byFile {
		asked.set = nil
	}
	begun := make(chan int64, 1) // when the first file was created
	first := true
	st, err := s.open(ctx, &asked, func(e *replication.BinlogEvent) error {
		if first && e.Header.EventType == replication.FORMAT_DESCRIPTION_EVENT {
			first = false
			created := int64(e.Header.Timestamp)
			begun <- created
			if byFile && from.created > 0 && created != from.created {
				return net.ErrClosed
			}
		}
		return r.handle(e)
	})
	if err != nil {
		stop()
		return nil, err
	}
	l.stream = st
	select {
	case created := <-begun:
		err = l.begins(created)
	case <-st.done:
		if err = s.explain(st.err); l.buffer.hasRows() {
			err = l.begins(<-begun) // they must not be lost with it; Next tells the error behind them
		}
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		stop()
		l.buffer.close()
		s.close(st)
		return nil, fmt.Errorf("read the log at %s:%d: %w", from.file, from.at, err)
	}
	l.tasks.Go(func() { l.watch() })
	l.tasks.Go(func() { l.remove(life) })
	l.tasks.Go(func() { l.findFloors(life) })
	return l, nil
}

// begins looks at when the first file was created, which the server sends.
func (l *Log) begins(created int64) error {
	p := &l.at
	switch {
	case !l.byFile: // the file is the server's choice, and its offset is known with the first event
		p.server, p.created = "", 0
	case p.created == 0:
		p.server, p.created = l.settings.identity, created
	case p.created != created:
		return &lostError{fmt.Sprintf("the server has another file of the name %s, created at %d and not at %d", p.file, created, p.created)}
	}
	return nil
}
