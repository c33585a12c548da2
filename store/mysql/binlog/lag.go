package binlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tidings.example/relay"
)

// Lag says how many bytes lie between the confirmed position and the end of the
// log. Retained is all that the server keeps: it keeps its log for a time, not for a
// reader, so there is no limit in bytes.
func (l *Log) Lag(ctx context.Context) (relay.Lag, error) {
	lag, err := l.source.lag(ctx, &l.saved.Load().place)
	if err != nil {
		return relay.Lag{}, fmt.Errorf("ask how far the log of outbox %q goes: %w", l.source.Name(), err)
	}
	return lag, nil
}

func (s *Source) lag(ctx context.Context, from *place) (relay.Lag, error) {
	files, err := s.files(ctx)
	if err != nil {
		return relay.Lag{}, err
	}
	var lag relay.Lag
	for _, f := range files {
		lag.Retained += f.size
		switch {
		case f.name == from.file:
			lag.Bytes += max(f.size-from.at, 0)
		case later(f.name, from.file):
			lag.Bytes += f.size
		}
	}
	return lag, nil
}

type file struct {
	name string
	size int64
}

// files are the files of the server's log, in order.
func (s *Source) files(ctx context.Context) ([]file, error) {
	rows, err := s.access.Pool().QueryContext(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return nil, s.explain(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values := make([]string, len(columns)) // two, and on MySQL whether it is encrypted
	targets := make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	var files []file
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		if len(values) < 2 {
			return nil, errors.New("the server's list of log files has no sizes")
		}
		size, err := strconv.ParseInt(strings.TrimSpace(values[1]), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read the size of %s: %w", values[0], err)
		}
		files = append(files, file{values[0], size})
	}
	return files, rows.Err()
}

// cutOff tells whether the reading has ended within an event of a file, though the
// server writes a later one by now: it will not mend the file. While it is the last
// one, the rest of the event may still come.
func (s *Source) cutOff(err error, name string) bool {
	if code(err) != codeReadingLog || !strings.Contains(err.Error(), "truncated in the middle of event") {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), silence)
	defer cancel()
	files, e := s.files(ctx)
	return e == nil && slices.ContainsFunc(files, func(f file) bool { return later(f.name, name) })
}
