package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tidings.example/internal/sqlstore"
	"tidings.example/saga"
	"tidings.example/saga/machine"
)

// Sagas keeps the sagas of an orchestrator.
type Sagas struct{ db *DB }

var _ saga.Store[*Tx] = (*Sagas)(nil)

type sagaRow struct {
	saga.Record
	journal []machine.Entry
}

type planKey struct{ sagaType, fingerprint string }

type planRow struct {
	plan []byte
	seen time.Time
}

// InTx runs fn in a transaction.
func (s *Sagas) InTx(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return s.db.InTx(ctx, fn)
}

// Transient reports whether the error is a deadlock or a conflict.
func (s *Sagas) Transient(err error) bool { return transient(err) }

func transient(err error) bool {
	return errors.Is(err, ErrDeadlock) || errors.Is(err, saga.ErrConflict)
}

// Insert stores a new saga. It waits for a transaction that stores the same.
func (s *Sagas) Insert(ctx context.Context, tx *Tx, r *saga.Record, journal []machine.Entry) (inserted bool, err error) {
	if err := tx.acquire(ctx, r.Ref); err != nil {
		return false, err
	}
	err = tx.view(func(db *DB) {
		if _, there := tx.sagas.get(db.sagas, r.Ref); there {
			return
		}
		inserted = true
		r.Version = 1
		tx.sagas[r.Ref] = &sagaRow{cloneRecord(r), cloneEntries(nil, journal)}
	})
	return inserted, err
}

// Load returns a saga as the transaction sees it. It locks nothing: Save
// notices what others have changed.
func (s *Sagas) Load(_ context.Context, tx *Tx, ref saga.Ref) (r *saga.Record, err error) {
	err = tx.view(func(db *DB) {
		if row, there := tx.sagas.get(db.sagas, ref); there {
			c := cloneRecord(&row.Record)
			r = &c
		}
	})
	return r, err
}

// Save stores a changed saga. It waits for a transaction that changes the same.
func (s *Sagas) Save(ctx context.Context, tx *Tx, r *saga.Record, journal []machine.Entry) error {
	if err := tx.acquire(ctx, r.Ref); err != nil {
		return err
	}
	var failed error
	err := tx.view(func(db *DB) {
		row, there := tx.sagas.get(db.sagas, r.Ref)
		if !there || row.Version != r.Version {
			failed = fmt.Errorf("save saga %s %q: %w", r.Type, r.ID, saga.ErrConflict)
			return
		}
		r.Version++
		tx.sagas[r.Ref] = &sagaRow{cloneRecord(r), cloneEntries(row.journal, journal)}
	})
	return cmp.Or(err, failed)
}

// Remove removes a saga and its journal. It waits for a transaction that changes the same.
func (s *Sagas) Remove(ctx context.Context, tx *Tx, r *saga.Record) error {
	if err := tx.acquire(ctx, r.Ref); err != nil {
		return err
	}
	var failed error
	err := tx.view(func(db *DB) {
		row, there := tx.sagas.get(db.sagas, r.Ref)
		if !there || row.Version != r.Version {
			failed = fmt.Errorf("remove saga %s %q: %w", r.Type, r.ID, saga.ErrConflict)
			return
		}
		tx.sagas[r.Ref] = nil
	})
	return cmp.Or(err, failed)
}

// Due returns the sagas that are due, without those that other transactions have
// locked, and locks them.
func (s *Sagas) Due(_ context.Context, tx *Tx, now time.Time, limit int) (due []saga.Record, err error) {
	err = tx.view(func(db *DB) {
		for _, row := range tx.sagas.all(db.sagas) {
			if !row.Wake.IsZero() && !row.Wake.After(now) {
				due = append(due, row.Record)
			}
		}
		slices.SortFunc(due, func(a, b saga.Record) int { return cmp.Or(a.Wake.Compare(b.Wake), compareRefs(a.Ref, b.Ref)) })
		due = tx.takeFree(due, limit)
	})
	return due, err
}

func (tx *Tx) takeFree(due []saga.Record, limit int) []saga.Record {
	var taken []saga.Record
	for i := range due {
		if len(taken) >= limit {
			break
		}
		if tx.tryAcquire(due[i].Ref) {
			taken = append(taken, cloneRecord(&due[i]))
		}
	}
	return taken
}

// NextWake returns when the next saga is to be woken.
func (s *Sagas) NextWake(context.Context) (wake time.Time, ok bool, err error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	for _, row := range s.db.sagas {
		if !row.Wake.IsZero() && (!ok || row.Wake.Before(wake)) {
			wake, ok = row.Wake, true
		}
	}
	return wake, ok, nil
}

// Get returns a committed saga.
func (s *Sagas) Get(_ context.Context, ref saga.Ref) (*saga.Record, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	row, there := s.db.sagas[ref]
	if !there {
		return nil, nil
	}
	r := cloneRecord(&row.Record)
	return &r, nil
}

// Define stores a plan.
func (s *Sagas) Define(_ context.Context, sagaType, fingerprint string, plan []byte, at time.Time) error {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	key := planKey{sagaType, fingerprint}
	if _, there := s.db.plans[key]; !there {
		s.db.plans[key] = planRow{slices.Clone(plan), micro(at)}
	}
	return nil
}

// Fingerprints counts the unfinished sagas, sorted by type and fingerprint.
func (s *Sagas) Fingerprints(context.Context) ([]saga.Fingerprint, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	counts := map[planKey]int64{}
	for _, row := range s.db.sagas {
		if !row.State.Ended() {
			counts[planKey{row.Type, row.Fingerprint}]++
		}
	}
	var all []saga.Fingerprint
	for key, n := range counts {
		all = append(all, saga.Fingerprint{Type: key.sagaType, Fingerprint: key.fingerprint, Count: n})
	}
	slices.SortFunc(all, func(a, b saga.Fingerprint) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return all, nil
}

// Unfinished returns unfinished sagas by id.
func (s *Sagas) Unfinished(_ context.Context, sagaType, fingerprint, after string, limit int) ([]saga.Record, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	var all []saga.Record
	for ref, row := range s.db.sagas {
		if ref.Type == sagaType && row.Fingerprint == fingerprint && !row.State.Ended() && ref.ID > after {
			all = append(all, cloneRecord(&row.Record))
		}
	}
	slices.SortFunc(all, func(a, b saga.Record) int { return compareRefs(a.Ref, b.Ref) })
	return all[:min(max(limit, 0), len(all))], nil
}

func compareRefs(a, b saga.Ref) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID))
}

// cloneRecord returns a copy that shares nothing with r, with times and texts as databases keep them.
func cloneRecord(r *saga.Record) saga.Record {
	c := *r
	c.Data, c.Instance, c.Request = slices.Clone(r.Data), slices.Clone(r.Instance), slices.Clone(r.Request)
	c.Step, c.Error = sqlstore.FitStep(r.Step), sqlstore.FitError(r.Error)
	c.Wake, c.Started, c.Changed, c.Ended = micro(r.Wake), micro(r.Started), micro(r.Changed), micro(r.Ended)
	return c
}

// cloneEntries returns both journals as one that shares nothing with them.
func cloneEntries(before, more []machine.Entry) []machine.Entry {
	all := slices.Concat(before, more)
	for i := len(before); i < len(all); i++ {
		all[i] = sqlstore.FitEntry(all[i])
		all[i].At = micro(all[i].At)
	}
	return all
}
