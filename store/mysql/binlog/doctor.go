package binlog

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tidings.example/admin"
)

// shortestExpiry is how long the server should keep its log at least: so long
// may a relay be down before messages are repeated.
const shortestExpiry = 24 * time.Hour

// Doctor looks at all that reading the log needs: the server's settings, how
// long it keeps its log, and the user's privileges.
func (s *Source) Doctor(ctx context.Context) []admin.Finding {
	if s.unable != nil {
		return []admin.Finding{{Name: "binary log", Status: admin.Fail, Detail: s.unable.Error(), Advice: "give the relay a URL"}}
	}
	v, err := s.settings(ctx)
	if err == nil {
		err = v.check()
	}
	if err != nil {
		return []admin.Finding{{Name: "binary log", Status: admin.Fail, Detail: s.explain(err).Error(),
			Advice: "set log_bin and binlog_format = ROW, or read the outbox from the table"}}
	}
	return []admin.Finding{v.written(), v.positions(), v.kept(), v.durable(), s.readable(ctx)}
}

func finding(name string, fine bool, advice, format string, args ...any) admin.Finding {
	f := admin.Finding{Name: name, Status: admin.OK, Detail: fmt.Sprintf(format, args...)}
	if !fine {
		f.Status, f.Advice = admin.Warn, advice
	}
	return f
}

func (v *settings) written() admin.Finding {
	return finding("binary log", v.metadata == "FULL",
		"set binlog_row_metadata = FULL: then the tables of the outbox may be altered while no relay runs",
		"format %s, row image %s, row metadata %s", v.format, v.image, v.metadata)
}

func (v *settings) positions() admin.Finding {
	return finding("log positions", v.gtid, "set gtid_mode = ON: then a relay goes on where it was on another server, after a fail-over",
		"%s", map[bool]string{true: "by GTID", false: "by file and offset, which no other server has"}[v.gtid])
}

func (v *settings) kept() admin.Finding {
	kept := time.Duration(v.expire * float64(time.Second))
	return finding("log expiry", kept == 0 || kept >= shortestExpiry,
		"set binlog_expire_logs_seconds to at least 86400: where the log is purged, messages are read from the table and repeated",
		"the server keeps its log for %s", map[bool]string{true: "ever", false: kept.String()}[kept == 0])
}

func (v *settings) durable() admin.Finding {
	return finding("log durability", v.sync == 1,
		"set sync_binlog = 1: otherwise a crash of the machine takes the end of the log, with messages that may have been published",
		"sync_binlog is %d", v.sync)
}

// readable opens the log where it ends, as a relay does.
func (s *Source) readable(ctx context.Context) admin.Finding {
	const name = "log reading"
	fail := func(err error) admin.Finding {
		return admin.Finding{Name: name, Status: admin.Fail, Detail: strings.ReplaceAll(s.explain(err).Error(), "\n", " "), Advice: s.grants()}
	}
	v, err := s.settings(ctx)
	if err != nil {
		return fail(err)
	}
	s.fold, s.byGTID = v.fold, false // of files everybody knows the end
	if err := s.findTLS(ctx); err != nil {
		return fail(err)
	}
	from := position{place: place{columns: usualLayouts(), server: v.identity}}
	if from.file, from.at, _, err = s.end(ctx, s.access.Pool()); err != nil {
		return fail(err)
	}
	l, err := s.start(ctx, from, &v)
	if err != nil {
		return fail(err)
	}
	if err := l.Close(ctx, false); err != nil {
		return fail(err)
	}
	lag, err := s.lag(ctx, &from.place)
	if err != nil {
		return fail(err)
	}
	id := "a random server id each time"
	if s.options.ServerID != 0 {
		id = fmt.Sprintf("server id %d", s.options.ServerID)
	}
	return finding(name, true, "", "the user may read the log, with %s; it has %d MiB on the server's disk", id, lag.Retained>>20)
}
