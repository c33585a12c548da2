package connect

import (
	"context"
	"errors"
	"fmt"
	"os"

	"tidings.example/store/sqlite"
)

var sqliteParams = []string{"busy_timeout", "synchronous"}

func openSQLite(ctx context.Context, l location, o Options) (*Database, error) {
	cfg := sqlite.Config{Path: l.path}
	var err error
	if cfg.Synchronous, err = l.word("synchronous", "normal", "full"); err != nil {
		return nil, err
	}
	if cfg.BusyTimeout, err = l.duration("busy_timeout"); err != nil {
		return nil, err
	}
	if !o.Create {
		// SQLite would make an empty database of a mistyped name.
		if _, err := os.Stat(l.path); errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("open sqlite %s: the file does not exist; check the path, or create it with tidings migrate up", l.path)
		}
	}
	db, err := sqlite.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Database{Kind: "sqlite", SQL: db.SQL(), Outbox: db.Outbox(), Inbox: db.Inbox(),
		Sagas: db.Sagas(), Commands: db.Commands(), Timers: db.Timers(), Replies: db.Replies(), Admin: db.Admin(),
		Relay: db.Relay, Ready: db.Ready, Close: db.Close}, nil
}
