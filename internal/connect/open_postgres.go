package connect

import (
	"context"

	"tidings.example/admin"
	"tidings.example/internal/connect/urls"
	"tidings.example/relay"
	"tidings.example/store/postgres"
	"tidings.example/store/postgres/wal"
)

func openPostgres(ctx context.Context, l urls.Location, options Options) (*Database, error) {
	if _, err := l.Word("sslmode", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"); err != nil {
		return nil, err
	}
	if _, err := l.Word("append", "table", "delete", "log"); err != nil {
		return nil, err
	}
	db, err := postgres.Open(ctx, postgres.Config{URL: l.Raw})
	if err != nil {
		return nil, err
	}
	return &Database{Kind: "postgres", SQL: db.SQL(), Outbox: db.OutboxSQL(), Inbox: db.InboxSQL(),
		Sagas: db.SagasSQL(), Commands: db.CommandsSQL(), Timers: db.TimersSQL(), Replies: db.RepliesSQL(), Admin: db.Admin(), Log: db.Admin(),
		DoctorLog: func(ctx context.Context) []admin.Finding { return wal.Doctor(ctx, db) },
		Relay:     func(source string) relay.Source { return wal.New(db, source, wal.Options{Logger: options.Logger}) }, Ready: db.Ready, Close: db.Close}, nil
}
