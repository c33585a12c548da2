package connect

import (
	"context"

	"tidings.example/admin"
	"tidings.example/relay"
	"tidings.example/store/postgres"
	"tidings.example/store/postgres/wal"
)

// postgresParams are how messages are appended, which package postgres reads, those
// of libpq that pgx knows, those of its pool, and the settings of a session that
// make sense for a program. The server would refuse any other, but with an error
// that says nothing of the URL.
var postgresParams = []string{
	"append", "application_name", "channel_binding", "connect_timeout", "dbname", "default_query_exec_mode", "host",
	"idle_in_transaction_session_timeout", "krbspn", "krbsrvname", "lock_timeout", "max_protocol_version", "min_protocol_version",
	"options", "passfile", "password", "pool_health_check_period", "pool_max_conn_idle_time", "pool_max_conn_lifetime",
	"pool_max_conn_lifetime_jitter", "pool_max_conns", "pool_min_conns", "pool_min_idle_conns", "port", "require_auth",
	"search_path", "service", "servicefile", "sslcert", "sslkey", "sslmode", "sslnegotiation", "sslpassword", "sslrootcert",
	"sslsni", "statement_timeout", "synchronous_commit", "target_session_attrs", "timezone", "user",
}

func openPostgres(ctx context.Context, l location, options Options) (*Database, error) {
	if _, err := l.word("sslmode", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"); err != nil {
		return nil, err
	}
	if _, err := l.word("append", "table", "delete", "log"); err != nil {
		return nil, err
	}
	db, err := postgres.Open(ctx, postgres.Config{URL: l.raw})
	if err != nil {
		return nil, err
	}
	return &Database{Kind: "postgres", SQL: db.SQL(), Outbox: db.OutboxSQL(), Inbox: db.InboxSQL(),
		Sagas: db.SagasSQL(), Commands: db.CommandsSQL(), Timers: db.TimersSQL(), Replies: db.RepliesSQL(), Admin: db.Admin(), Log: db.Admin(),
		DoctorLog: func(ctx context.Context) []admin.Finding { return wal.Doctor(ctx, db) },
		Relay:     func(source string) relay.Source { return wal.New(db, source, wal.Options{Logger: options.Logger}) }, Ready: db.Ready, Close: db.Close}, nil
}
