package binlog

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tidings.example/relay"
	"tidings.example/store/mysql"
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
		lag.Retained += f.Size
		switch {
		case f.Name == from.file:
			lag.Bytes += max(f.Size-from.at, 0)
		case later(f.Name, from.file):
			lag.Bytes += f.Size
		}
	}
	return lag, nil
}

// files are the files of the server's log, in order.
func (s *Source) files(ctx context.Context) ([]mysql.LogFile, error) {
	files, err := s.access.Files(ctx)
	return files, s.explain(err)
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
	return e == nil && slices.ContainsFunc(files, func(f mysql.LogFile) bool { return later(f.Name, name) })
}
