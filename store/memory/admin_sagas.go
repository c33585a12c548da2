package memory

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tidings.example/admin"
	"tidings.example/saga"
)

var _ admin.Sagas = (*Admin)(nil)

// describeSaga leaves out data and instance.
func describeSaga(r *saga.Record) admin.Saga {
	return admin.Saga{
		Type: r.Type, ID: r.ID, Version: r.Version, State: string(r.State), Step: r.Step, Error: r.Error,
		Started: r.Started, Changed: r.Changed, Ended: r.Ended, Wake: r.Wake, Fingerprint: r.Fingerprint, Requested: r.Request != nil,
	}
}

func compareSagas(a, b *admin.Saga) int {
	return cmp.Or(a.Changed.Compare(b.Changed), cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID))
}

// ListSagas returns sagas without data and instance.
func (a *Admin) ListSagas(_ context.Context, f admin.SagaFilter) ([]admin.Saga, error) {
	db := a.db
	db.mu.Lock()
	defer db.mu.Unlock()
	if f.Limit <= 0 {
		f.Limit = 100
	}
	latest := db.now().Add(-f.Unchanged)
	var all []admin.Saga
	for _, row := range db.sagas {
		s := describeSaga(&row.Record)
		if f.Type != "" && f.Type != s.Type || len(f.States) > 0 && !slices.Contains(f.States, s.State) ||
			f.Step != "" && !slices.Contains(strings.Split(s.Step, ", "), f.Step) || f.Unchanged > 0 && s.Changed.After(latest) ||
			f.After != nil && compareSagas(&s, f.After) <= 0 {
			continue
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b admin.Saga) int { return compareSagas(&a, &b) })
	return all[:min(f.Limit, len(all))], nil
}

// GetSaga returns one saga, whole.
func (a *Admin) GetSaga(_ context.Context, sagaType, id string) (admin.Saga, error) {
	a.db.mu.Lock()
	defer a.db.mu.Unlock()
	row, there := a.db.sagas[saga.Ref{Type: sagaType, ID: id}]
	if !there {
		return admin.Saga{}, fmt.Errorf("get saga %s %q: %w", sagaType, id, admin.ErrNotFound)
	}
	s := describeSaga(&row.Record)
	s.Data, s.Instance = slices.Clone(row.Data), slices.Clone(row.Instance)
	return s, nil
}

// SagaJournal returns entries by number; limit defaults to 100.
func (a *Admin) SagaJournal(_ context.Context, sagaType, id string, after, limit int) ([]admin.SagaEntry, error) {
	a.db.mu.Lock()
	defer a.db.mu.Unlock()
	if limit <= 0 {
		limit = 100
	}
	var all []admin.SagaEntry
	for _, e := range a.db.sagas[saga.Ref{Type: sagaType, ID: id}].journal {
		if e.Number > after && len(all) < limit {
			all = append(all, admin.SagaEntry{Number: e.Number, At: e.At, What: string(e.What), Step: e.Step, Undo: e.Undo,
				Attempt: e.Attempt, Message: e.Message, Type: e.Type, Text: e.Text})
		}
	}
	return all, nil
}

// CountSagas counts sagas, sorted by type and state.
func (a *Admin) CountSagas(context.Context) ([]admin.SagaCount, error) {
	db := a.db
	db.mu.Lock()
	defer db.mu.Unlock()
	type group struct{ sagaType, state string }
	counts := map[group]admin.SagaCount{}
	for ref, row := range db.sagas {
		g := group{ref.Type, string(row.State)}
		c := counts[g]
		counts[g] = admin.SagaCount{Type: g.sagaType, State: g.state, Count: c.Count + 1, Oldest: max(c.Oldest, db.now().Sub(row.Changed))}
	}
	var all []admin.SagaCount
	for _, c := range counts {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b admin.SagaCount) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.State, b.State))
	})
	return all, nil
}

// SagaPlans returns definitions, of all types where sagaType is empty.
func (a *Admin) SagaPlans(_ context.Context, sagaType string) ([]admin.SagaPlan, error) {
	a.db.mu.Lock()
	defer a.db.mu.Unlock()
	var all []admin.SagaPlan
	for key, row := range a.db.plans {
		if sagaType == "" || key.sagaType == sagaType {
			all = append(all, admin.SagaPlan{Type: key.sagaType, Fingerprint: key.fingerprint, Plan: slices.Clone(row.plan), SeenAt: row.seen})
		}
	}
	slices.SortFunc(all, func(a, b admin.SagaPlan) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), b.SeenAt.Compare(a.SeenAt), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return all, nil
}

// RequestSaga stores a request, wakes the saga and makes those conflict who are
// about to save it.
func (a *Admin) RequestSaga(ctx context.Context, sagaType, id, op string, request []byte, act admin.Action) error {
	ref := saga.Ref{Type: sagaType, ID: id}
	fail := func(err error) error { return fmt.Errorf("%s saga %s %q: %w", op, sagaType, id, err) }
	if err := act.Validate(); err != nil {
		return fail(err)
	}
	if !json.Valid(request) {
		return fail(errors.New("the request is not JSON"))
	}
	err := a.db.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := tx.acquire(ctx, ref); err != nil {
			return err
		}
		var failed error
		err := tx.view(func(db *DB) {
			row, there := db.sagas[ref]
			switch {
			case !there:
				failed = admin.ErrNotFound
			case row.State.Ended():
				failed = admin.ErrSagaEnded
			case row.Request != nil:
				failed = admin.ErrRequestWaits
			default:
				row.Version++
				row.Request, row.Wake = slices.Clone(request), db.now()
				tx.sagas[ref] = &row
				tx.audit = append(tx.audit, Audit{At: db.now(), Action: act, Did: op + " saga",
					Target: fmt.Sprintf("saga %s %q", sagaType, id), Detail: string(request)})
			}
		})
		return cmp.Or(err, failed)
	})
	if err != nil {
		return fail(err)
	}
	return nil
}
