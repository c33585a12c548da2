package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings.example/internal/sqlstore"
	"tidings.example/saga"
	"tidings.example/saga/machine"
)

// Sagas keeps the sagas of an orchestrator, in transactions of type Tx.
type Sagas[Tx any] struct {
	db   *DB
	on   func(Tx) runner
	inTx func(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
}

var (
	_ saga.Store[pgx.Tx]  = (*Sagas[pgx.Tx])(nil)
	_ saga.Store[*sql.Tx] = (*Sagas[*sql.Tx])(nil)
)

const (
	insertSagaSQL = `INSERT INTO tidings_saga (saga_type, id, state, step, error, fingerprint, data, instance, wake_at,
		started_at, changed_at, ended_at, request)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING`

	// When another transaction has the row, it is waited for, and the version looked at again.
	saveSagaSQL = `UPDATE tidings_saga SET version = version + 1, state = $3, step = $4, error = $5, fingerprint = $6, data = $7,
		instance = $8, wake_at = $9, started_at = $10, changed_at = $11, ended_at = $12, request = $13
	WHERE saga_type = $1 AND id = $2 AND version = $14`

	// The journal of a saga that was not removed stays.
	removeSagaSQL = `WITH gone AS (DELETE FROM tidings_saga WHERE saga_type = $1 AND id = $2 AND version = $3 RETURNING 1),
		journal AS (DELETE FROM tidings_saga_journal WHERE saga_type = $1 AND saga_id = $2 AND EXISTS (SELECT FROM gone))
	SELECT count(*) FROM gone`

	sagaColumns = `saga_type, id, version, state, step, error, fingerprint, data, instance, wake_at, started_at, changed_at, ended_at, request`

	loadSagaSQL = `SELECT ` + sagaColumns + ` FROM tidings_saga WHERE saga_type = $1 AND id = $2`

	dueSagasSQL = `SELECT ` + sagaColumns + ` FROM tidings_saga WHERE wake_at <= $1 ORDER BY wake_at LIMIT $2 FOR UPDATE SKIP LOCKED`
)

// InTx runs fn in a READ COMMITTED transaction.
func (s *Sagas[Tx]) InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	return s.inTx(ctx, fn)
}

// Transient is that of [Inbox.Transient].
func (s *Sagas[Tx]) Transient(err error) bool { return transient(err) }

// Insert stores a saga and its journal in one round trip. It waits for a
// transaction that inserts the same.
func (s *Sagas[Tx]) Insert(ctx context.Context, tx Tx, r *saga.Record, journal []machine.Entry) (bool, error) {
	written, err := s.write(ctx, tx, insertJournalSQL, sagaArgs(r), journal)
	if err != nil {
		return false, fmt.Errorf("insert saga %s %q: %w", r.Type, r.ID, s.db.advise(ctx, err))
	}
	if written {
		r.Version = 1
	}
	return written, nil
}

// Load returns a saga without locking it: Save notices what others have changed.
func (s *Sagas[Tx]) Load(ctx context.Context, tx Tx, ref saga.Ref) (*saga.Record, error) {
	return loadSaga(ctx, s.db, s.on(tx), ref)
}

// Save stores a changed saga and its journal in one round trip.
func (s *Sagas[Tx]) Save(ctx context.Context, tx Tx, r *saga.Record, journal []machine.Entry) error {
	written, err := s.write(ctx, tx, saveJournalSQL, append(sagaArgs(r), r.Version), journal)
	switch {
	case err != nil:
		err = s.db.advise(ctx, err)
	case !written:
		err = saga.ErrConflict
	default:
		r.Version++
		return nil
	}
	return fmt.Errorf("save saga %s %q: %w", r.Type, r.ID, err)
}

// Remove removes a saga and its journal in one round trip.
func (s *Sagas[Tx]) Remove(ctx context.Context, tx Tx, r *saga.Record) error {
	n := 0
	err := s.on(tx).run(ctx, statement{sql: removeSagaSQL, args: []any{r.Type, r.ID, r.Version}, row: func(scan func(...any) error) error {
		return scan(&n)
	}})
	switch {
	case err != nil:
		err = s.db.advise(ctx, err)
	case n == 0:
		err = saga.ErrConflict
	default:
		return nil
	}
	return fmt.Errorf("remove saga %s %q: %w", r.Type, r.ID, err)
}

// write runs a statement that writes one saga and its journal, and reports whether it has.
func (s *Sagas[Tx]) write(ctx context.Context, tx Tx, sql func(entries int) string, args []any, journal []machine.Entry) (bool, error) {
	n := 0
	err := s.on(tx).run(ctx, statement{sql: sql(len(journal)), args: journalArgs(args, journal), row: func(scan func(...any) error) error {
		return scan(&n)
	}})
	return n == 1, err
}

// Due returns the sagas that are due, and locks them; it leaves out those that
// others have locked.
func (s *Sagas[Tx]) Due(ctx context.Context, tx Tx, now time.Time, limit int) ([]saga.Record, error) {
	all, err := readSagas(ctx, s.on(tx), dueSagasSQL, now, limit)
	if err != nil {
		return nil, fmt.Errorf("read sagas that are due: %w", s.db.advise(ctx, err))
	}
	return all, nil
}

// sagaArgs are the parameters $1 to $13 of the statements that write.
func sagaArgs(r *saga.Record) []any {
	return []any{r.Type, r.ID, string(r.State), sqlstore.FitStep(r.Step), sqlstore.FitError(r.Error), r.Fingerprint, notNil(r.Data),
		notNil(r.Instance), orNull(r.Wake), r.Started, r.Changed, orNull(r.Ended), r.Request}
}

func loadSaga(ctx context.Context, db *DB, on runner, ref saga.Ref) (*saga.Record, error) {
	all, err := readSagas(ctx, on, loadSagaSQL, ref.Type, ref.ID)
	if err != nil {
		return nil, fmt.Errorf("load saga %s %q: %w", ref.Type, ref.ID, db.advise(ctx, err))
	}
	if len(all) == 0 {
		return nil, nil
	}
	return &all[0], nil
}

func readSagas(ctx context.Context, on runner, query string, args ...any) (all []saga.Record, err error) {
	err = on.run(ctx, statement{sql: query, args: args, row: func(scan func(...any) error) error {
		r, err := scanSaga(scan)
		all = append(all, r)
		return err
	}})
	return all, err
}

// scanSaga reads sagaColumns.
func scanSaga(scan func(...any) error) (r saga.Record, err error) {
	var wake, ended sql.Null[time.Time]
	err = scan(&r.Type, &r.ID, &r.Version, (*string)(&r.State), &r.Step, &r.Error, &r.Fingerprint, &r.Data, &r.Instance,
		&wake, &r.Started, &r.Changed, &ended, &r.Request)
	r.Wake, r.Ended = orZero(wake), orZero(ended)
	r.Started, r.Changed = r.Started.UTC(), r.Changed.UTC()
	return r, err
}

// orZero returns the zero time for NULL.
func orZero(t sql.Null[time.Time]) time.Time {
	if !t.Valid {
		return time.Time{}
	}
	return t.V.UTC()
}
