package binlog

import (
	"context"
	"errors"
	"fmt"
	"net"

	"tidings.example/relay"
)

// Tail opens the log. Without a position, or where the log does not reach back
// to it, the start is fresh: a snapshot of the table at the very place where the log
// begins. Errors name the setting that is wrong, and what to do.
func (s *Source) Tail(ctx context.Context, session relay.Session, st relay.State) (relay.Log, relay.Start, error) {
	l, start, err := s.tail(ctx, st)
	if err != nil {
		return nil, relay.Start{}, fmt.Errorf("read outbox %q from the binary log: %w", s.Name(), err)
	}
	return l, start, nil
}

func (s *Source) tail(ctx context.Context, st relay.State) (*Log, relay.Start, error) {
	if s.unable != nil {
		return nil, relay.Start{}, s.unable
	}
	v, err := s.settings(ctx)
	if err != nil {
		return nil, relay.Start{}, s.explain(err)
	}
	if err := v.check(); err != nil {
		return nil, relay.Start{}, err
	}
	s.fold, s.byGTID = v.fold, v.gtid && !s.options.byFile
	if err := s.findTLS(ctx); err != nil {
		return nil, relay.Start{}, err
	}
	start := relay.Start{}
	if len(st.Log.Position) > 0 {
		l, why, err := s.resume(ctx, st.Log.Position, &v)
		if err != nil || why == "" {
			return l, start, err
		}
		start.Lost = why
	}
	start.Fresh = true
	l, err := s.fresh(ctx, &v)
	if err != nil {
		return nil, start, err
	}
	if start.Lost != "" {
		start.Lost += fmt.Sprintf("; the log goes on at %s:%d", l.at.file, l.at.at)
	}
	start.Position = l.at.text()
	return l, start, nil
}

func (v *settings) check() error {
	switch {
	case !v.on:
		return errors.New("log_bin is OFF: set log_bin and restart the server, or read the outbox from the table")
	case v.format != "ROW":
		return fmt.Errorf("binlog_format is %s: SET GLOBAL binlog_format = ROW, and set it in the server's configuration", v.format)
	}
	return nil
}

// findTLS finds out whether the server takes connections with TLS, where that is
// left to it.
func (s *Source) findTLS(ctx context.Context) error {
	if cfg := s.access.Config(); cfg.TLS == nil || !cfg.AllowFallbackToPlaintext {
		return nil
	}
	var name, cipher string
	if err := s.access.Pool().QueryRowContext(ctx, "SHOW STATUS LIKE 'ssl_cipher'").Scan(&name, &cipher); err != nil {
		return fmt.Errorf("ask whether the connection uses TLS: %w", err)
	}
	s.encrypted = cipher != ""
	return nil
}

// resume goes on at a saved position. why says why that cannot be.
func (s *Source) resume(ctx context.Context, saved []byte, v *settings) (l *Log, why string, err error) {
	from := "the position " + string(saved) + " is lost: "
	p, err := parsePosition(saved, s.access.MariaDB())
	if err != nil {
		return nil, err.Error(), nil
	}
	why = s.whyLost(&p.place)
	switch {
	case why != "":
		return nil, from + why, nil
	case p.set == nil && p.server != v.identity:
		return nil, from + fmt.Sprintf("it is of the server %q, and this is %q, whose files are others", p.server, v.identity), nil
	case p.set != nil && !v.gtid:
		return nil, from + "the server has no GTIDs any more: set gtid_mode = ON", nil
	}
	l, err = s.start(ctx, p, v)
	var lost *lostError
	if errors.As(err, &lost) {
		return nil, from + lost.why, nil
	}
	if code(err) == codeReadingLog && l == nil {
		return nil, from + fmt.Sprintf("the server does not have it (%v); if it was purged, raise binlog_expire_logs_seconds, which is %.0f", err, v.expire), nil
	}
	return l, "", err
}

// fresh begins now, with a snapshot.
func (s *Source) fresh(ctx context.Context, v *settings) (*Log, error) {
	snap, err := s.snapshot(ctx, v)
	if err != nil {
		return nil, err
	}
	l, err := s.start(ctx, position{place: snap.place}, v)
	if err != nil {
		snap.close()
		return nil, err
	}
	l.before = snap
	return l, nil
}

// watch waits for the end of the stream, and tells it to Next.
func (l *Log) watch() {
	<-l.stream.done
	err := l.stream.err
	if err == nil {
		err = net.ErrClosed
	}
	l.buffer.fail(err)
}
