package connect

import (
	"context"
	"errors"
	"fmt"
	"os"

	"tidings.example/internal/connect/urls"
	"tidings.example/store/sqlite"
)

func openSQLite(ctx context.Context, l urls.Location, o Options) (*Database, error) {
	cfg := sqlite.Config{Path: l.Path}
	var err error
	if cfg.Synchronous, err = l.Word("synchronous", "normal", "full"); err != nil {
		return nil, err
	}
	if cfg.BusyTimeout, err = l.Duration("busy_timeout"); err != nil {
		return nil, err
	}
	if !o.Create {
		// SQLite would make an empty database of a mistyped name.
		if _, err := os.Stat(l.Path); errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("open sqlite %s: the file does not exist; check the path, or create it with tidings migrate up", l.Path)
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
