package postgres

import (
	"context"
	"fmt"
	"time"

	"tidings.example/saga"
)

const (
	nextWakeSQL = `SELECT wake_at FROM tidings_saga WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT 1`

	defineSQL = `INSERT INTO tidings_saga_plan (saga_type, fingerprint, plan, seen_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`

	fingerprintsSQL = `SELECT saga_type, fingerprint, count(*) FROM tidings_saga WHERE ended_at IS NULL
	GROUP BY saga_type, fingerprint ORDER BY saga_type, fingerprint`

	unfinishedSagasSQL = `SELECT ` + sagaColumns + ` FROM tidings_saga
	WHERE saga_type = $1 AND fingerprint = $2 AND id > $3 AND ended_at IS NULL ORDER BY id LIMIT $4`
)

// NextWake returns when the next saga is to be woken.
func (s *Sagas[Tx]) NextWake(ctx context.Context) (wake time.Time, ok bool, err error) {
	if wake, ok, err = s.db.first(ctx, nextWakeSQL); err != nil {
		return wake, false, fmt.Errorf("read when the next saga is due: %w", err)
	}
	return wake, ok, nil
}

// first reads one time, if there is a row.
func (db *DB) first(ctx context.Context, query string) (t time.Time, ok bool, err error) {
	err = db.onPool().run(ctx, statement{sql: query, row: func(scan func(...any) error) error {
		ok = true
		return scan(&t)
	}})
	return t.UTC(), ok && err == nil, db.advise(ctx, err)
}

// Get returns a committed saga.
func (s *Sagas[Tx]) Get(ctx context.Context, ref saga.Ref) (*saga.Record, error) {
	return loadSaga(ctx, s.db, s.db.onPool(), ref)
}

// Define stores a plan.
func (s *Sagas[Tx]) Define(ctx context.Context, sagaType, fingerprint string, plan []byte, at time.Time) error {
	err := s.db.onPool().run(ctx, statement{sql: defineSQL, args: []any{sagaType, fingerprint, notNil(plan), at}})
	if err != nil {
		return fmt.Errorf("store the plan of saga %s: %w", sagaType, s.db.advise(ctx, err))
	}
	return nil
}

// Fingerprints counts the unfinished sagas, sorted by type and fingerprint.
func (s *Sagas[Tx]) Fingerprints(ctx context.Context) ([]saga.Fingerprint, error) {
	var all []saga.Fingerprint
	err := s.db.onPool().run(ctx, statement{sql: fingerprintsSQL, row: func(scan func(...any) error) error {
		var f saga.Fingerprint
		err := scan(&f.Type, &f.Fingerprint, &f.Count)
		all = append(all, f)
		return err
	}})
	if err != nil {
		return nil, fmt.Errorf("count unfinished sagas: %w", s.db.advise(ctx, err))
	}
	return all, nil
}

// Unfinished returns unfinished sagas by id.
func (s *Sagas[Tx]) Unfinished(ctx context.Context, sagaType, fingerprint, after string, limit int) ([]saga.Record, error) {
	all, err := readSagas(ctx, s.db.onPool(), unfinishedSagasSQL, sagaType, fingerprint, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list unfinished sagas of %s: %w", sagaType, s.db.advise(ctx, err))
	}
	return all, nil
}
