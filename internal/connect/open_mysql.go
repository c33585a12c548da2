package connect

import (
	"context"

	"tidings.example/admin"
	"tidings.example/relay"
	"tidings.example/store/mysql"
	"tidings.example/store/mysql/binlog"
)

// mysqlParams are those that package mysql reads from its URL.
var mysqlParams = []string{"append", "max-connections", "socket", "timeout", "tls", "tls-ca"}

func openMySQL(ctx context.Context, l location, options Options) (*Database, error) {
	if _, err := l.word("tls", "false", "true", "skip-verify", "preferred"); err != nil {
		return nil, err
	}
	if _, err := l.word("append", string(mysql.AppendTable), string(mysql.AppendAndDelete), string(mysql.AppendToLog)); err != nil {
		return nil, err
	}
	if _, err := l.duration("timeout"); err != nil {
		return nil, err
	}
	if _, err := l.number("max-connections", 2, 100_000); err != nil {
		return nil, err
	}
	if l.path == "" {
		return nil, badURL("%s URL names no database; write it as in %s", l.scheme, l.spec.example)
	}
	db, err := mysql.Open(ctx, mysql.Config{URL: l.raw})
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
