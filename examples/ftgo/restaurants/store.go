package restaurants

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/sqldb"
	"tidings.example/examples/shared/web"
)

const (
	insertRestaurant = `INSERT INTO restaurants (restaurant_id, name, address) VALUES (?, ?, ?)`
	insertMenuItem   = `INSERT INTO menu_items (restaurant_id, menu_item_id, position, name, price_cents) VALUES (?, ?, ?, ?, ?)`
	selectRestaurant = `SELECT restaurant_id, name, address FROM restaurants WHERE restaurant_id = ?`
	selectMenu       = `SELECT menu_item_id, name, price_cents FROM menu_items WHERE restaurant_id = ? ORDER BY position`
	listRestaurants  = `SELECT restaurant_id, name, address FROM restaurants WHERE restaurant_id < ? ORDER BY restaurant_id DESC LIMIT ?`
)

// store is the service's tables. Ids grow with time, so their order is that of creation.
type store struct{ db sqldb.DB }

// reader is a transaction or the database.
type reader interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func (s store) insert(ctx context.Context, tx *sql.Tx, r *Restaurant) error {
	err := sqldb.MustChange(tx.ExecContext(ctx, s.db.Bind(insertRestaurant), r.ID, r.Name, string(r.Address)))
	if err != nil {
		return fmt.Errorf("insert restaurant: %w", err)
	}
	for i, item := range r.Menu.Items {
		err := sqldb.MustChange(tx.ExecContext(ctx, s.db.Bind(insertMenuItem), r.ID, item.ID, i, item.Name, item.Price.Cents()))
		if err != nil {
			return fmt.Errorf("insert menu item %s: %w", item.ID, err)
		}
	}
	return nil
}

// get returns a restaurant with its menu; the error matches sql.ErrNoRows where there is none.
func (s store) get(ctx context.Context, from reader, id string) (Restaurant, error) {
	r, err := scan(from.QueryRowContext(ctx, s.db.Bind(selectRestaurant), id))
	if err != nil {
		return r, err
	}
	rows, err := from.QueryContext(ctx, s.db.Bind(selectMenu), id)
	if err != nil {
		return r, fmt.Errorf("read menu: %w", err)
	}
	r.Menu.Items, err = sqldb.Collect(rows, func() (i MenuItem, err error) { return i, rows.Scan(&i.ID, &i.Name, &i.Price) })
	if err != nil {
		return r, fmt.Errorf("read menu: %w", err)
	}
	return r, nil
}

// prices returns what each item of a restaurant's menu costs; the error matches sql.ErrNoRows where
// there is no such restaurant.
func (s store) prices(ctx context.Context, tx *sql.Tx, id string) (map[string]money.Money, error) {
	r, err := s.get(ctx, tx, id)
	prices := make(map[string]money.Money, len(r.Menu.Items))
	for _, item := range r.Menu.Items {
		prices[item.ID] = item.Price
	}
	return prices, err
}

// list returns the restaurants of a page, without menus, and, if there are more, one of them.
func (s store) list(ctx context.Context, p web.Page) ([]Summary, error) {
	rows, err := s.db.SQL.QueryContext(ctx, s.db.Bind(listRestaurants), cmp.Or(p.After, sqldb.AfterAll), p.Limit+1)
	if err != nil {
		return nil, fmt.Errorf("list restaurants: %w", err)
	}
	return sqldb.Collect(rows, func() (Summary, error) {
		r, err := scan(rows)
		return r.Summary, err
	})
}

func scan(row interface{ Scan(...any) error }) (r Restaurant, err error) {
	var address string
	if err := row.Scan(&r.ID, &r.Name, &address); err != nil {
		return r, fmt.Errorf("read restaurant: %w", err)
	}
	r.Address = json.RawMessage(address)
	return r, nil
}
