package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings.example/admin"
	"tidings.example/saga/machine"
)

const (
	adminSagaColumns = `saga_type, id, version, state, step, error, started_at, changed_at, ended_at, wake_at, fingerprint, request IS NOT NULL`

	getSagaSQL = `SELECT ` + adminSagaColumns + `, data, instance FROM tidings_saga WHERE saga_type = $1 AND id = $2`

	sagaJournalSQL = `SELECT number, at, what, step, undo, attempt, message_id, message_type, text FROM tidings_saga_journal
	WHERE saga_type = $1 AND saga_id = $2 AND number > $3 ORDER BY number LIMIT $4`

	// Those that have ended, which may be many, are counted in their index. They
	// have not changed since, but for late replies, which are noted.
	countSagasSQL = `SELECT saga_type, state, sum(n)::bigint, (extract(epoch FROM clock_timestamp() - min(oldest)) * 1000000)::bigint FROM (
		SELECT saga_type, state, count(*) AS n, min(changed_at) AS oldest FROM tidings_saga WHERE ended_at IS NULL GROUP BY saga_type, state
		UNION ALL
		SELECT saga_type, state, count(*), min(ended_at) FROM tidings_saga WHERE ended_at IS NOT NULL GROUP BY saga_type, state) AS c
	GROUP BY saga_type, state ORDER BY saga_type, state COLLATE "C"`

	sagaPlansSQL = `SELECT saga_type, fingerprint, plan, seen_at FROM tidings_saga_plan WHERE $1 = '' OR saga_type = $1
	ORDER BY saga_type, seen_at DESC, fingerprint`

	lockSagaSQL = `SELECT ended_at IS NOT NULL, request IS NOT NULL FROM tidings_saga WHERE saga_type = $1 AND id = $2 FOR UPDATE`

	// The new version makes those fail who have loaded the one before and are about
	// to save it.
	requestSagaSQL = `UPDATE tidings_saga SET version = version + 1, request = $3, wake_at = clock_timestamp() WHERE saga_type = $1 AND id = $2`
)

// listSagas returns the statement for a filter. Conditions that are not asked for
// are left out, so that those that are can be looked up in an index.
func listSagas(f admin.SagaFilter) statement {
	var where []string
	var args []any
	add := func(condition string, values ...any) {
		marks := make([]any, len(values))
		for i, v := range values {
			args = append(args, v)
			marks[i] = fmt.Sprintf("$%d", len(args))
		}
		where = append(where, fmt.Sprintf(condition, marks...))
	}
	if f.Type != "" {
		add("saga_type = %s", f.Type)
	}
	if len(f.States) > 0 {
		add("state = ANY (%s)", f.States)
		if !slices.ContainsFunc(f.States, func(s string) bool { return machine.State(s).Ended() }) {
			add("ended_at IS NULL")
		}
	}
	if f.Step != "" {
		// It may be one of several that the saga is at.
		add("position(', ' || %s || ', ' in ', ' || step || ', ') > 0", f.Step)
	}
	if f.Unchanged > 0 {
		add("changed_at <= clock_timestamp() - %s * interval '1 microsecond'", f.Unchanged.Microseconds())
	}
	if f.After != nil {
		add("(changed_at, saga_type, id) > (%s, %s, %s)", f.After.Changed, f.After.Type, f.After.ID)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	query := "SELECT " + adminSagaColumns + " FROM tidings_saga"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	return statement{sql: fmt.Sprintf("%s ORDER BY changed_at, saga_type, id LIMIT $%d", query, len(args)+1), args: append(args, limit)}
}

// ListSagas returns sagas without data and instance. Ended ones are looked for in
// the whole table.
func (a *Admin) ListSagas(ctx context.Context, f admin.SagaFilter) (all []admin.Saga, err error) {
	list := listSagas(f)
	list.row = func(scan func(...any) error) error {
		s, err := scanAdminSaga(scan)
		all = append(all, s)
		return err
	}
	if err := a.db.onPool().run(ctx, list); err != nil {
		return nil, fmt.Errorf("list sagas: %w", a.db.advise(ctx, err))
	}
	return all, nil
}

// scanAdminSaga reads adminSagaColumns, and then what more is asked for.
func scanAdminSaga(scan func(...any) error, more ...any) (s admin.Saga, err error) {
	var wake, ended sql.Null[time.Time]
	err = scan(append([]any{&s.Type, &s.ID, &s.Version, &s.State, &s.Step, &s.Error, &s.Started, &s.Changed, &ended, &wake,
		&s.Fingerprint, &s.Requested}, more...)...)
	s.Started, s.Changed, s.Ended, s.Wake = s.Started.UTC(), s.Changed.UTC(), orZero(ended), orZero(wake)
	return s, err
}

// GetSaga returns one saga, whole.
func (a *Admin) GetSaga(ctx context.Context, sagaType, id string) (s admin.Saga, err error) {
	found := false
	err = a.db.onPool().run(ctx, statement{sql: getSagaSQL, args: []any{sagaType, id}, row: func(scan func(...any) error) (err error) {
		found = true
		var data, instance []byte
		s, err = scanAdminSaga(scan, &data, &instance)
		s.Data, s.Instance = data, instance
		return err
	}})
	if err == nil && !found {
		err = admin.ErrNotFound
	}
	if err != nil {
		return admin.Saga{}, fmt.Errorf("get saga %s %q: %w", sagaType, id, a.db.advise(ctx, err))
	}
	return s, nil
}

// SagaJournal returns entries by number; limit defaults to 100.
func (a *Admin) SagaJournal(ctx context.Context, sagaType, id string, after, limit int) (all []admin.SagaEntry, err error) {
	if limit <= 0 {
		limit = 100
	}
	err = a.db.onPool().run(ctx, statement{sql: sagaJournalSQL, args: []any{sagaType, id, after, limit}, row: func(scan func(...any) error) error {
		var e admin.SagaEntry
		err := scan(&e.Number, &e.At, &e.What, &e.Step, &e.Undo, &e.Attempt, &e.Message, &e.Type, &e.Text)
		e.At = e.At.UTC()
		all = append(all, e)
		return err
	}})
	if err != nil {
		return nil, fmt.Errorf("read the journal of saga %s %q: %w", sagaType, id, a.db.advise(ctx, err))
	}
	return all, nil
}

// CountSagas counts sagas, sorted by type and state. Of those that have ended it
// reads an index.
func (a *Admin) CountSagas(ctx context.Context) (all []admin.SagaCount, err error) {
	err = a.db.onPool().run(ctx, statement{sql: countSagasSQL, row: func(scan func(...any) error) error {
		var c admin.SagaCount
		var micros int64
		err := scan(&c.Type, &c.State, &c.Count, &micros)
		c.Oldest = max(time.Duration(micros)*time.Microsecond, 0)
		all = append(all, c)
		return err
	}})
	if err != nil {
		return nil, fmt.Errorf("count sagas: %w", a.db.advise(ctx, err))
	}
	return all, nil
}

// SagaPlans returns definitions, of all types where sagaType is empty.
func (a *Admin) SagaPlans(ctx context.Context, sagaType string) (all []admin.SagaPlan, err error) {
	err = a.db.onPool().run(ctx, statement{sql: sagaPlansSQL, args: []any{sagaType}, row: func(scan func(...any) error) error {
		var p admin.SagaPlan
		err := scan(&p.Type, &p.Fingerprint, &p.Plan, &p.SeenAt)
		p.SeenAt = p.SeenAt.UTC()
		all = append(all, p)
		return err
	}})
	if err != nil {
		return nil, fmt.Errorf("read the plans of sagas: %w", a.db.advise(ctx, err))
	}
	return all, nil
}

// RequestSaga stores a request and wakes the saga.
func (a *Admin) RequestSaga(ctx context.Context, sagaType, id, op string, request []byte, act admin.Action) error {
	if !json.Valid(request) {
		return fmt.Errorf("%s saga: %w", op, errors.New("the request is not JSON"))
	}
	return a.change(ctx, op+" saga", act, func(r runner) (target, detail string, err error) {
		target = fmt.Sprintf("saga %s %q", sagaType, id)
		var found, ended, waits bool
		err = r.run(ctx, statement{sql: lockSagaSQL, args: []any{sagaType, id}, row: func(scan func(...any) error) error {
			found = true
			return scan(&ended, &waits)
		}})
		switch {
		case err != nil:
		case !found:
			err = admin.ErrNotFound
		case ended:
			err = admin.ErrSagaEnded
		case waits:
			err = admin.ErrRequestWaits
		default:
			err = r.run(ctx, statement{sql: requestSagaSQL, args: []any{sagaType, id, request}})
		}
		if err != nil {
			err = fmt.Errorf("%s %q: %w", sagaType, id, err)
		}
		return target, string(request), err
	})
}
