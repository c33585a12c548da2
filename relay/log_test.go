package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Tail makes a seat a LogSource.
func (s *seat) Tail(ctx context.Context, session Session, st State) (Log, Start, error) {
	x := &logReader{sitting: session.(*sitting)}
	var start Start
	err := s.do(ctx, "tail", func() error {
		if x.fence != s.book.fence {
			return &HeldError{Source: s.Name(), Holder: s.holder}
		}
		s.reader = x.fence
		at, err := strconv.Atoi(string(st.Log.Position))
		if err == nil && s.slot && at >= s.confirmed {
			x.at = at
			return nil
		}
		if err == nil {
			start.Lost = fmt.Sprintf("missing from %d to %d", at, len(s.log))
		}
		x.at = len(s.log)
		x.before = maps.Clone(s.rows)
		s.slot, s.confirmed, s.cut = true, x.at, 0
		start.Fresh, start.Position = true, []byte(strconv.Itoa(x.at))
		return nil
	})
	if err != nil {
		return nil, Start{}, err
	}
	return x, start, nil
}

// A logReader reads a book's log.
type logReader struct {
	*sitting
	at     int
	before map[int64]Row
}

func (x *logReader) Before(ctx context.Context, q Query) (rows []Row, err error) {
	err = x.do(ctx, "before", func() error {
		rows = answer(q, slices.Sorted(maps.Keys(x.before)), func(p int64) Row { return x.before[p] })
		return nil
	})
	return rows, err
}

var errTaken = errors.New("terminating the reader: another one has taken the log")

func (x *logReader) Next(ctx context.Context, limit, bytes int) (LogBatch, error) {
	for {
		var b LogBatch
		var grown chan struct{}
		err := x.do(ctx, "next", func() error {
			if x.reader != x.fence {
				return errTaken
			}
			grown = x.grown
			x.fill(&b, limit, bytes)
			if len(b.End) == 0 && x.cut > 0 && x.at == x.cut {
				x.slot = false
				return fmt.Errorf("the file ends within an event: %w", ErrLogLost)
			}
			return nil
		})
		if err != nil || len(b.End) > 0 {
			return b, err
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return b, ctx.Err()
		case <-x.ctx.Done():
			return b, errKilled
		}
	}
}

// fill makes a batch, which ends anywhere: elsewhere for each reader.
func (x *logReader) fill(b *LogBatch, limit, bytes int) {
	limit = 1 + (x.at+int(x.fence))%limit
	begin := x.at
	end := len(x.log)
	if x.cut > 0 {
		end = x.cut
	}
	for sum := 0; x.at < end && len(b.Rows) < limit && sum < bytes; x.at++ {
		e := x.log[x.at]
		b.Committed = e.at
		if !e.foreign {
			b.Rows = append(b.Rows, e.row)
			sum += len(e.row.Message.Payload)
		}
	}
	if len(b.Rows) > 0 || x.at-begin >= 3 {
		b.End = []byte(strconv.Itoa(x.at))
		if x.at%2 == 0 {
			b.Floor = x.floor(x.at)
		}
	}
}

func (x *logReader) Aside(ctx context.Context, q AsideQuery) (rows []Row, err error) {
	err = x.do(ctx, "aside", func() error {
		for _, p := range x.asideOrder {
			r, there := x.aside[p]
			of := r.Message.Channel == q.Key.Channel && r.Message.Key == q.Key.Key && len(rows) < q.Limit
			if there && (slices.Contains(q.Positions, p) || q.Positions == nil && of) {
				rows = append(rows, r)
			}
		}
		return nil
	})
	return rows, err
}

// Confirm removes published rows from the table, though not each time.
func (x *logReader) Confirm(c Checkpoint) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ctx.Err() != nil || x.reader != x.fence {
		return
	}
	at, err := strconv.Atoi(string(c.Position))
	if err != nil || at > x.savedNow() && x.savedNow() >= 0 {
		x.wrong = append(x.wrong, fmt.Errorf("position %q is confirmed, saved is %d", c.Position, x.savedNow()))
	}
	x.confirmed = max(x.confirmed, at)
	if x.confirms++; x.confirms%3 == 0 {
		x.forget()
	}
}

func (x *logReader) Lag(context.Context) (Lag, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lags++
	return Lag{Bytes: int64(len(x.log) - max(x.savedNow(), 0)), Retained: int64(len(x.log) - x.confirmed)}, nil
}

func (x *logReader) Close(ctx context.Context, forget bool) error {
	return x.do(ctx, "close", func() error {
		if x.reader == x.fence {
			x.reader, x.slot = 0, x.slot && !forget
		}
		return nil
	})
}
