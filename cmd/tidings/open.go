package main

import (
	"context"
	"fmt"
	"time"

	"tidings.example/internal/connect"
)

// openTimeout bounds how long a command waits for a server that does not answer.
const openTimeout = 10 * time.Second

// withStore opens a database, whose tables must be there and up to date, runs
// fn on it and closes it.
func (a *app) withStore(ctx context.Context, url string, fn func(ctx context.Context, db *connect.Database) error) error {
	return a.withAnyStore(ctx, url, connect.Options{Logger: a.log}, func(ctx context.Context, db *connect.Database) error {
		if err := db.Ready(ctx); err != nil {
			return err
		}
		return fn(ctx, db)
	})
}

// withAnyStore opens a database, runs fn on it and closes it.
func (a *app) withAnyStore(ctx context.Context, url string, o connect.Options, fn func(ctx context.Context, db *connect.Database) error) error {
	if err := requireStore(url); err != nil {
		return err
	}
	db, err := openStore(ctx, url, o)
	if err != nil {
		return err
	}
	err = fn(ctx, db)
	if e := db.Close(); err == nil && e != nil {
		err = fmt.Errorf("close %s: %w", connect.Redact(url), e)
	}
	return err
}

func openStore(ctx context.Context, url string, o connect.Options) (*connect.Database, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	return connect.OpenDatabase(ctx, url, o)
}

func (a *app) openBroker(ctx context.Context, url string) (*connect.Broker, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	return connect.OpenBroker(ctx, url, connect.Options{Logger: a.log})
}
