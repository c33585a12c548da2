package binlog

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"
)

// locate finds out where the columns of a table are, at the place of the log
// where the reader is.
func (r *reader) locate(t *table) error {
	if t.names != nil {
		l := layoutOf(t.names)
		r.columns[t.which] = l
		return t.locate(l)
	}
	if r.columns[t.which] == nil {
		l, err := r.lookUp(t.which)
		if err != nil {
			return err
		}
		r.columns[t.which] = l
	}
	return t.locate(r.columns[t.which])
}

// lookPatience bounds how long the reader looks for changes of a table between
// where it is and the end of the log.
const lookPatience = 5 * time.Minute

// columnsSince returns where the columns are now, once it is sure that it was
// so since the place where r is: it reads the log from there to its end, and looks for
// statements that change the table.
func (s *Source) columnsSince(ctx context.Context, r *reader, which int) (layout, error) {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	conn, err := s.access.Pool().Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := run(ctx, conn, "START TRANSACTION"); err != nil {
		return nil, err
	}
	defer run(context.WithoutCancel(ctx), conn, "ROLLBACK") //nolint:errcheck // the connection goes back to the pool, which resets it
	var now layouts
	if err := s.columns(ctx, conn, which, &now); err != nil {
		return nil, fmt.Errorf("look up the columns of %s: %w", tableNames[which], err)
	}
	if now[which] == nil {
		return nil, &lostError{fmt.Sprintf("the table %s, of which there are rows at %s:%d, is gone, and what its columns were cannot be known: set binlog_row_metadata = FULL", tableNames[which], r.file, r.at)}
	}
	// The table cannot be altered until the end of the transaction.
	file, at, _, err := s.end(ctx, s.access.Pool())
	if err != nil {
		return nil, err
	}
	if err := s.unchanged(ctx, r, which, file, at); err != nil {
		return nil, err
	}
	return now[which], nil
}

// unchanged returns nil if no statement changes the table between where r is and
// a place that the log has reached.
func (s *Source) unchanged(ctx context.Context, r *reader, which int, file string, at int64) error {
	reached := make(chan error, 1)
	tell := func(err error) {
		select {
		case reached <- err:
		default:
		}
	}
	look := &reader{source: s, lookOnly: true, out: newBuffer(),
		sources: map[[16]byte]string{}, columns: usualLayouts(), file: r.file, at: r.at}
	begun := false
	st, err := s.open(ctx, &place{file: r.file, at: r.at}, func(e *replication.BinlogEvent) error {
		if rotate, ok := e.Event.(*replication.RotateEvent); ok && !begun {
			look.file, look.at, begun = string(rotate.NextLogName), int64(rotate.Position), true
		} else if err := look.handle(e); err != nil {
			return err
		}
		if look.columns[which] == nil {
			tell(&lostError{fmt.Sprintf("the table %s was altered at %s:%d, after rows at %s:%d that were not read before; what its columns were then cannot be known: set binlog_row_metadata = FULL, or let the relay catch up before the table is altered",
				tableNames[which], look.file, look.at, r.file, r.at)})
		} else if look.file == file && look.at >= at || later(look.file, file) {
			tell(nil)
		}
		look.out.take(func(*entry, int) bool { return true }) //nolint:errcheck // nothing is in it but places
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for changes of %s: %w", tableNames[which], err)
	}
	defer s.close(st)
	select {
	case err := <-reached:
		return err
	case <-st.done:
		if st.err == nil {
			st.err = net.ErrClosed
		}
		return fmt.Errorf("look for changes of %s: %w", tableNames[which], st.err)
	case <-ctx.Done():
		return fmt.Errorf("look for changes of %s: %w", tableNames[which], ctx.Err())
	}
}

// later tells whether one file of the log comes behind another: their numbers
// have more digits when the usual six do not suffice.
func later(file, than string) bool {
	if len(file) != len(than) {
		return len(file) > len(than)
	}
	return file > than
}
