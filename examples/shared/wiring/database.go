package wiring

import (
	"context"
	"fmt"
	"time"

	"tidings.example/internal/connect"
)

// database makes a service not ready while its database is away.
type database struct {
	name string
	db   *connect.Database
}

func (d database) Name() string { return "database of " + d.name }

// Run has nothing to do: whoever opened the database closes it.
func (d database) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (d database) Ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := d.db.Ready(ctx); err != nil {
		return fmt.Errorf("database cannot be used: %w", err)
	}
	return nil
}
