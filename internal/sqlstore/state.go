package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"tidings.example/relay"
)

// Queryer is a pool, a connection or a transaction.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// ReadCounters reads rows of channel and encoded counters.
func ReadCounters(ctx context.Context, q Queryer, query string, args ...any) (map[string][]byte, error) {
	counters := map[string][]byte{}
	err := each(ctx, q, query, args, func(rows *sql.Rows) error {
		var channel string
		var encoded []byte
		err := rows.Scan(&channel, &encoded)
		counters[channel] = encoded
		return err
	})
	if err != nil {
		return nil, err
	}
	return counters, nil
}

// ReadPlans reads rows of id, encoded positions and whether they are of
// set-aside rows.
func ReadPlans(ctx context.Context, q Queryer, query string, args ...any) (plans []relay.Plan, err error) {
	err = each(ctx, q, query, args, func(rows *sql.Rows) error {
		var p relay.Plan
		err := rows.Scan(&p.ID, &p.Positions, &p.Aside)
		plans = append(plans, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	return plans, nil
}

// ReadHeldKeys reads rows of channel, key and whether a retry is asked for.
func ReadHeldKeys(ctx context.Context, q Queryer, query string, args ...any) (held []relay.HeldKey, err error) {
	err = each(ctx, q, query, args, func(rows *sql.Rows) error {
		var k relay.HeldKey
		err := rows.Scan(&k.Channel, &k.Key, &k.Retry)
		held = append(held, k)
		return err
	})
	if err != nil {
		return nil, err
	}
	return held, nil
}

// Collect returns what scan makes of each row of a query.
func Collect[T any](ctx context.Context, q Queryer, query string, args []any, scan func(*sql.Rows) (T, error)) (all []T, err error) {
	err = each(ctx, q, query, args, func(rows *sql.Rows) error {
		v, err := scan(rows)
		if err == nil {
			all = append(all, v)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func each(ctx context.Context, q Queryer, query string, args []any, scan func(*sql.Rows) error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// RefuseLog returns an error where a change is one of reading a commit log, for a
// store whose database has none.
func RefuseLog(c *relay.Change) error {
	if c.Log == nil && c.Reading != relay.FromLog && (c.Plan == nil || !c.Plan.Aside) && len(c.DoneAside) == 0 && len(c.KeepAside) == 0 &&
		!slices.ContainsFunc(c.SetAside, func(a relay.SetAside) bool { return a.Row != nil }) {
		return nil
	}
	return errors.New("this database has no commit log that a relay can read: the outbox is read from its table")
}
