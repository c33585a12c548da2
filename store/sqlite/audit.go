package sqlite

import (
	"context"

	"tidings.example/admin"
	"tidings.example/internal/sqlstore"
)

var _ admin.Auditor = (*Admin)(nil)

func (a *Admin) auditor() *sqlstore.Auditor {
	return &sqlstore.Auditor{DB: a.db.sql, Mark: mark, Micros: `opened_at`}
}

// Numbered returns what the relay of this database's outbox has numbered.
func (a *Admin) Numbered(ctx context.Context) (admin.Numbered, error) {
	return a.auditor().Numbered(ctx)
}

// Handled returns what a subscriber has handled of a source's messages.
func (a *Admin) Handled(ctx context.Context, subscriber, source string) (admin.Handled, error) {
	return a.auditor().Handled(ctx, subscriber, source)
}

// Subscribers names all subscribers that have an inbox in this database.
func (a *Admin) Subscribers(ctx context.Context) ([]string, error) {
	return a.auditor().Subscribers(ctx)
}
