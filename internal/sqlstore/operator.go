package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tidings.example/admin"
	"tidings.example/saga/machine"
)

// An Operator is an [admin.Sagas] and [admin.Locks] for any database behind database/sql.
type Operator struct {
	db     Engine
	change Change
}

// Change runs fn in a transaction and writes the audit table in it.
type Change func(ctx context.Context, what string, a admin.Action, fn func(tx *sql.Tx) (target, detail string, err error)) error

// NewOperator returns what an operator can ask and do about sagas and locks.
func NewOperator(e Engine, change Change) *Operator { return &Operator{e, change} }

var (
	_ admin.Sagas = (*Operator)(nil)
	_ admin.Locks = (*Operator)(nil)
)

const adminSagaColumns = `saga_type, id, version, state, step, error, fingerprint, request IS NOT NULL, micros(wake_at),
	micros(started_at), micros(changed_at), micros(ended_at)`

var states = []string{string(machine.Running), string(machine.Compensating), string(machine.Stuck),
	string(machine.Completed), string(machine.Compensated), string(machine.Failed)}

// ListSagas returns sagas, those first that were changed longest ago. Each state
// is read by itself, in the order of an index, so that a short list is short work.
func (o *Operator) ListSagas(ctx context.Context, f admin.SagaFilter) ([]admin.Saga, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	wanted := f.States
	if len(wanted) == 0 {
		wanted = states
	}
	var all []admin.Saga
	for _, state := range wanted {
		some, err := o.listState(ctx, state, &f)
		if err != nil {
			return nil, fmt.Errorf("list sagas: %w", err)
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b admin.Saga) int {
		return cmp.Or(a.Changed.Compare(b.Changed), strings.Compare(a.Type, b.Type), strings.Compare(a.ID, b.ID))
	})
	all = slices.CompactFunc(all, func(a, b admin.Saga) bool { return a.Type == b.Type && a.ID == b.ID })
	return all[:min(len(all), f.Limit)], nil
}

func (o *Operator) listState(ctx context.Context, state string, f *admin.SagaFilter) ([]admin.Saga, error) {
	query, args := `SELECT `+adminSagaColumns+` FROM tidings_saga @index(tidings_saga_changed) WHERE state = ?`, []any{state}
	add := func(condition string, values ...any) {
		query += " AND " + condition
		args = append(args, values...)
	}
	if f.Type != "" {
		add(`saga_type = ?`, f.Type)
	}
	if f.Step != "" {
		add(o.db.AtStep, ", "+f.Step+", ")
	}
	if f.Unchanged > 0 {
		add(`changed_at <= @at`, o.db.Time(o.db.Now().Add(-f.Unchanged)))
	}
	if a := f.After; a != nil {
		at := o.db.Time(a.Changed)
		add(`changed_at >= @at`, at)
		add(`(changed_at > @at OR saga_type > ? OR saga_type = ? AND id > ?)`, at, a.Type, a.Type, a.ID)
	}
	query += ` ORDER BY changed_at, saga_type, id LIMIT ?`
	return Collect(ctx, o.db.Pool, o.db.text(query), append(args, f.Limit), func(rows *sql.Rows) (admin.Saga, error) {
		return scanAdminSaga(rows)
	})
}

func scanAdminSaga(row scanner, more ...any) (s admin.Saga, err error) {
	var wake, started, changed, ended sql.NullInt64
	err = row.Scan(append([]any{&s.Type, &s.ID, &s.Version, &s.State, &s.Step, &s.Error, &s.Fingerprint, &s.Requested,
		&wake, &started, &changed, &ended}, more...)...)
	s.Wake, s.Started, s.Changed, s.Ended = timeOf(wake), timeOf(started), timeOf(changed), timeOf(ended)
	return s, err
}

// GetSaga returns one saga, with its data.
func (o *Operator) GetSaga(ctx context.Context, sagaType, id string) (admin.Saga, error) {
	var data, instance []byte
	s, err := scanAdminSaga(o.db.Pool.QueryRowContext(ctx, o.db.text(`SELECT `+adminSagaColumns+`, data, instance FROM tidings_saga
	WHERE saga_type = ? AND id = ?`), sagaType, id), &data, &instance)
	if errors.Is(err, sql.ErrNoRows) {
		err = admin.ErrNotFound
	}
	if err != nil {
		return admin.Saga{}, fmt.Errorf("get saga %s %q: %w", sagaType, id, err)
	}
	s.Data, s.Instance = data, instance
	return s, nil
}

// SagaJournal returns entries of a saga's journal.
func (o *Operator) SagaJournal(ctx context.Context, sagaType, id string, after, limit int) ([]admin.SagaEntry, error) {
	entries, err := Collect(ctx, o.db.Pool, o.db.text(`SELECT number, micros(at), what, step, `+undo+`, attempt, message_id, message_type, text
	FROM tidings_saga_journal WHERE saga_type = ? AND saga_id = ? AND number > ? ORDER BY number LIMIT ?`),
		[]any{sagaType, id, after, limit}, func(rows *sql.Rows) (e admin.SagaEntry, err error) {
			var at sql.NullInt64
			err = rows.Scan(&e.Number, &at, &e.What, &e.Step, &e.Undo, &e.Attempt, &e.Message, &e.Type, &e.Text)
			e.At = timeOf(at)
			return e, err
		})
	if err != nil {
		return nil, fmt.Errorf("read the journal of saga %s %q: %w", sagaType, id, err)
	}
	return entries, nil
}

// CountSagas counts sagas by type and state.
func (o *Operator) CountSagas(ctx context.Context) ([]admin.SagaCount, error) {
	now := o.db.Now()
	counts, err := Collect(ctx, o.db.Pool, o.db.text(`SELECT saga_type, state, n, micros(oldest) FROM (
	SELECT saga_type, state, COUNT(*) AS n, MIN(changed_at) AS oldest FROM tidings_saga @index(tidings_saga_changed)
	GROUP BY saga_type, state) c ORDER BY saga_type, state`), nil, func(rows *sql.Rows) (c admin.SagaCount, err error) {
		var oldest sql.NullInt64
		err = rows.Scan(&c.Type, &c.State, &c.Count, &oldest)
		c.Oldest = max(now.Sub(timeOf(oldest)), 0)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("count sagas: %w", err)
	}
	return counts, nil
}

// SagaPlans returns definitions, newest first of each type.
func (o *Operator) SagaPlans(ctx context.Context, sagaType string) ([]admin.SagaPlan, error) {
	plans, err := Collect(ctx, o.db.Pool, o.db.text(`SELECT saga_type, fingerprint, plan, micros(seen_at) FROM tidings_saga_plan
	WHERE (? = '' OR saga_type = ?) ORDER BY saga_type, seen_at DESC, fingerprint`), []any{sagaType, sagaType},
		func(rows *sql.Rows) (p admin.SagaPlan, err error) {
			var seen sql.NullInt64
			err = rows.Scan(&p.Type, &p.Fingerprint, &p.Plan, &seen)
			p.SeenAt = timeOf(seen)
			return p, err
		})
	if err != nil {
		return nil, fmt.Errorf("read the plans of sagas: %w", err)
	}
	return plans, nil
}

// RequestSaga stores a request and makes the saga due. The version changes, so
// that a transaction that has loaded the saga before does not take the request away.
func (o *Operator) RequestSaga(ctx context.Context, sagaType, id, op string, request []byte, a admin.Action) error {
	if !json.Valid(request) {
		return fmt.Errorf("%s saga %s %q: the request is not JSON", op, sagaType, id)
	}
	return o.change(ctx, op+" saga", a, func(tx *sql.Tx) (target, detail string, err error) {
		target = fmt.Sprintf("saga %s %q", sagaType, id)
		var ended, requested bool
		err = tx.QueryRowContext(ctx, o.db.text(`SELECT ended_at IS NOT NULL, request IS NOT NULL FROM tidings_saga
	WHERE saga_type = ? AND id = ? @lock`), sagaType, id).Scan(&ended, &requested)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			err = admin.ErrNotFound
		case err != nil:
		case ended:
			err = admin.ErrSagaEnded
		case requested:
			err = admin.ErrRequestWaits
		default:
			_, err = tx.ExecContext(ctx, o.db.text(`UPDATE tidings_saga SET request = ?, wake_at = @at, version = version + 1
	WHERE saga_type = ? AND id = ?`), string(request), o.db.Time(o.db.Now()), sagaType, id)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", target, err)
		}
		return target, string(request), err
	})
}
