package connect

import (
	"context"

	"tidings.example/admin"
	"tidings.example/internal/connect/urls"
	"tidings.example/relay"
	"tidings.example/store/mysql"
	"tidings.example/store/mysql/binlog"
)

func openMySQL(ctx context.Context, l urls.Location, options Options) (*Database, error) {
	if _, err := l.Word("tls", "false", "true", "skip-verify", "preferred"); err != nil {
		return nil, err
	}
	if _, err := l.Word("append", string(mysql.AppendTable), string(mysql.AppendAndDelete), string(mysql.AppendToLog)); err != nil {
		return nil, err
	}
	if _, err := l.Duration("timeout"); err != nil {
		return nil, err
	}
	if _, err := l.Number("max-connections", 2, 100_000); err != nil {
		return nil, err
	}
	if l.Path == "" {
		return nil, urls.Errorf("%s URL names no database; write it as in %s", l.Scheme, l.Spec.Example)
	}
	db, err := mysql.Open(ctx, mysql.Config{URL: l.Raw})
	if err != nil {
		return nil, err
	}
	return &Database{Kind: "mysql", SQL: db.SQL(), Outbox: db.Outbox(), Inbox: db.Inbox(),
		Sagas: db.Sagas(), Commands: db.Commands(), Timers: db.Timers(), Replies: db.Replies(), Admin: db.Admin(), Log: db.Admin(),
		DoctorLog: func(ctx context.Context) []admin.Finding {
			return binlog.New(db, "doctor", binlog.Options{}).Doctor(ctx)
		},
		Relay: func(source string) relay.Source {
			return binlog.New(db, source, binlog.Options{Logger: options.Logger})
		}, Ready: db.Ready, Close: db.Close}, nil
}
