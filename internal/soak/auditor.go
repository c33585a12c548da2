package soak

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tidings.example"
	"tidings.example/inbox"
	"tidings.example/internal/connect"
)

// AuditorName is the auditor's subscriber name.
const AuditorName = "soak-auditor"

// RunAuditor handles every message of the channels by writing one row, until
// ctx is done. It is one of the processes that a run kills. At most batch messages
// share a transaction.
func RunAuditor(ctx context.Context, storeURL, brokerURL string, channels []string, batch int, logger *slog.Logger) (err error) {
	db, err := openAuditor(ctx, storeURL, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	b, err := connect.OpenBroker(ctx, brokerURL, connect.Options{Logger: logger, Member: AuditorName})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := b.EnsureChannels(ctx, channels...); err != nil {
		return err
	}
	in, err := inbox.New(inbox.Config[*sql.Tx]{
		Subscriber: AuditorName, Store: db.Inbox, Broker: b, Channels: channels, Logger: logger,
		// Transactions that several messages share are put to the test as well.
		BatchSize: batch,
		Handler: func(ctx context.Context, tx *sql.Tx, m *tidings.Message) error {
			return recordEffect(ctx, db.Kind, tx, m)
		},
	})
	if err != nil {
		return err
	}
	return in.Run(ctx)
}

func openAuditor(ctx context.Context, storeURL string, logger *slog.Logger) (*connect.Database, error) {
	db, err := connect.OpenDatabase(ctx, storeURL, connect.Options{Logger: logger, Create: true})
	if err != nil {
		return nil, err
	}
	if _, err := db.Admin.Migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	position := map[string]string{
		"postgres": "bigint generated always as identity primary key",
		"mysql":    "bigint auto_increment primary key",
		"sqlite":   "integer primary key autoincrement",
	}[db.Kind]
	// Nothing is unique here: a message handled twice leaves two rows.
	_, err = db.SQL.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS soak_effect (position `+position+`,
		message_id varchar(255) not null, source varchar(200) not null, epoch varchar(64) not null,
		channel varchar(200) not null, lane int not null, sequence bigint not null)`)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create soak_effect: %w", err), db.Close())
	}
	return db, nil
}

func recordEffect(ctx context.Context, kind string, tx *sql.Tx, m *tidings.Message) error {
	statement := `INSERT INTO soak_effect (message_id, source, epoch, channel, lane, sequence) VALUES (?, ?, ?, ?, ?, ?)`
	if kind == "postgres" {
		statement = `INSERT INTO soak_effect (message_id, source, epoch, channel, lane, sequence) VALUES ($1, $2, $3, $4, $5, $6)`
	}
	_, err := tx.ExecContext(ctx, statement, m.ID, m.Source, m.Stamp.Epoch, m.Channel, m.Stamp.Lane, int64(m.Stamp.Sequence))
	return err
}

// askEvery is how often something is asked whether it is as it should be.
const askEvery = 200 * time.Millisecond
