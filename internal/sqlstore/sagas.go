package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tidings.example/saga"
	"tidings.example/saga/machine"
)

// Sagas is a [saga.Store] for any database behind database/sql.
type Sagas struct {
	Engine
	text *sagaText
}

var _ saga.Store[*sql.Tx] = (*Sagas)(nil)

// NewSagas returns the sagas of a database.
func NewSagas(e Engine) *Sagas { return &Sagas{e, e.sagaText()} }

const sagaColumns = `saga_type, id, version, state, step, error, fingerprint, data, instance, request, micros(wake_at),
	micros(started_at), micros(changed_at), micros(ended_at)`

// What columns hold, in characters.
const (
	maxStep  = 200
	maxError = 1000
	maxWhat  = 100
	maxName  = 255
)

// undo is a word of its own in MariaDB. SQLite takes this way of quoting, too.
const undo = "`undo`"

// sagaText are the statements about sagas.
type sagaText struct {
	insert, journal                                                         insertion
	load, save, due, remove, forget, next, define, fingerprints, unfinished string
}

func (d *Dialect) sagaText() *sagaText {
	return &sagaText{
		insert: d.insertion(`tidings_saga`, `saga_type, id, version, state, step, error, fingerprint, data, instance, request, wake_at,
	started_at, changed_at, ended_at`, `(?, ?, 1, ?, ?, ?, ?, ?, ?, ?, @at, @at, @at, @at)`, d.OrKeep),
		journal: d.insertion(`tidings_saga_journal`, `saga_type, saga_id, number, at, what, step, `+undo+`, attempt, message_id, message_type, text`,
			`(?, ?, ?, @at, ?, ?, ?, ?, ?, ?, ?)`, ""),
		load: d.kept(`SELECT ` + sagaColumns + ` FROM tidings_saga WHERE saga_type = ? AND id = ?`),
		save: d.kept(`UPDATE tidings_saga SET version = version + 1, state = ?, step = ?, error = ?, fingerprint = ?, data = ?,
	instance = ?, request = ?, wake_at = @at, started_at = @at, changed_at = @at, ended_at = @at
	WHERE saga_type = ? AND id = ? AND version = ?`),
		due:    d.kept(`SELECT ` + sagaColumns + ` FROM tidings_saga @index(tidings_saga_wake) WHERE wake_at <= @at ORDER BY wake_at LIMIT ? @skip`),
		remove: d.text(`DELETE FROM tidings_saga WHERE saga_type = ? AND id = ? AND version = ?`),
		forget: d.text(`DELETE FROM tidings_saga_journal WHERE saga_type = ? AND saga_id = ?`),
		// One row, by the index.
		next: d.kept(`SELECT micros(wake_at) FROM tidings_saga @index(tidings_saga_wake) WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT 1`),
		define: d.text(`INSERT INTO tidings_saga_plan (saga_type, fingerprint, plan, seen_at) VALUES (?, ?, ?, @at)`) +
			d.ignore("fingerprint"),
		fingerprints: `SELECT saga_type, fingerprint, COUNT(*) FROM tidings_saga WHERE ended_at IS NULL
	GROUP BY saga_type, fingerprint ORDER BY saga_type, fingerprint`,
		unfinished: d.text(`SELECT ` + sagaColumns + ` FROM tidings_saga @index(tidings_saga_open)
	WHERE ended_at IS NULL AND saga_type = ? AND fingerprint = ? AND id > ? ORDER BY id LIMIT ?`),
	}
}

// Insert stores a new saga and its journal.
func (s *Sagas) Insert(ctx context.Context, tx *sql.Tx, r *saga.Record, journal []machine.Entry) (bool, error) {
	inserted, err := s.insert(ctx, tx, r)
	if err == nil && inserted {
		r.Version = 1
		err = s.journal(ctx, tx, r.Ref, journal)
	}
	if err != nil {
		return false, fmt.Errorf("insert saga %s %q: %w", r.Type, r.ID, err)
	}
	return inserted, nil
}

func (s *Sagas) insert(ctx context.Context, tx *sql.Tx, r *saga.Record) (bool, error) {
	result, err := tx.ExecContext(ctx, s.text.insert.of(1), append([]any{r.Type, r.ID}, s.values(r)...)...)
	if err != nil {
		return false, err
	}
	return s.Inserted(result)
}

// values are those of the columns behind the version.
func (s *Sagas) values(r *saga.Record) []any {
	var request any
	if r.Request != nil {
		request = string(r.Request)
	}
	return []any{string(r.State), cut(r.Step, maxStep), cut(r.Error, maxError), r.Fingerprint, string(r.Data), string(r.Instance), request,
		s.Time(r.Wake), s.Time(r.Started), s.Time(r.Changed), s.Time(r.Ended)}
}

// Load returns a saga, or nil.
func (s *Sagas) Load(ctx context.Context, tx *sql.Tx, ref saga.Ref) (*saga.Record, error) {
	if err := s.begin(ctx, tx); err != nil {
		return nil, fmt.Errorf("load saga %s %q: %w", ref.Type, ref.ID, err)
	}
	return s.load(ctx, tx, ref)
}

// Get returns a saga as it is committed, or nil.
func (s *Sagas) Get(ctx context.Context, ref saga.Ref) (*saga.Record, error) {
	return s.load(ctx, s.Pool, ref)
}

func (s *Sagas) load(ctx context.Context, q Queryer, ref saga.Ref) (*saga.Record, error) {
	found, err := Collect(ctx, q, s.text.load, []any{ref.Type, ref.ID}, scanSaga)
	if err != nil {
		return nil, fmt.Errorf("load saga %s %q: %w", ref.Type, ref.ID, err)
	}
	if len(found) == 0 {
		return nil, nil
	}
	return &found[0], nil
}

func scanSaga(rows *sql.Rows) (r saga.Record, err error) {
	var request sql.NullString
	var wake, started, changed, ended sql.NullInt64
	err = rows.Scan(&r.Type, &r.ID, &r.Version, &r.State, &r.Step, &r.Error, &r.Fingerprint, &r.Data, &r.Instance, &request,
		&wake, &started, &changed, &ended)
	if request.Valid {
		r.Request = []byte(request.String)
	}
	r.Wake, r.Started, r.Changed, r.Ended = timeOf(wake), timeOf(started), timeOf(changed), timeOf(ended)
	return r, err
}

// Save stores a saga as its next version.
func (s *Sagas) Save(ctx context.Context, tx *sql.Tx, r *saga.Record, journal []machine.Entry) error {
	n, err := affected(ctx, tx, s.text.save, append(s.values(r), r.Type, r.ID, r.Version)...)
	if err == nil && n == 0 {
		err = saga.ErrConflict
	}
	if err == nil {
		err = s.journal(ctx, tx, r.Ref, journal)
	}
	if err != nil {
		return fmt.Errorf("save saga %s %q: %w", r.Type, r.ID, err)
	}
	r.Version++
	return nil
}

// Remove removes a saga and its journal.
func (s *Sagas) Remove(ctx context.Context, tx *sql.Tx, r *saga.Record) error {
	n, err := affected(ctx, tx, s.text.remove, r.Type, r.ID, r.Version)
	if err == nil && n == 0 {
		err = saga.ErrConflict
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, s.text.forget, r.Type, r.ID)
	}
	if err != nil {
		return fmt.Errorf("remove saga %s %q: %w", r.Type, r.ID, err)
	}
	return nil
}

// journalRows bounds the entries of one statement.
const journalRows = 200

func (s *Sagas) journal(ctx context.Context, tx *sql.Tx, ref saga.Ref, entries []machine.Entry) error {
	for len(entries) > 0 {
		some := entries[:min(len(entries), journalRows)]
		args := make([]any, 0, 11*len(some))
		for i := range some {
			e := &some[i]
			args = append(args, ref.Type, ref.ID, e.Number, s.Time(e.At), cut(string(e.What), maxWhat), cut(e.Step, maxStep), e.Undo, e.Attempt,
				cut(e.Message, maxName), cut(e.Type, maxName), Reason(e.Text))
		}
		if _, err := tx.ExecContext(ctx, s.text.journal.of(len(some)), args...); err != nil {
			return fmt.Errorf("write the journal: %w", err)
		}
		entries = entries[len(some):]
	}
	return nil
}

// Due returns sagas whose time has come, and keeps others from them.
func (s *Sagas) Due(ctx context.Context, tx *sql.Tx, now time.Time, limit int) ([]saga.Record, error) {
	if err := s.begin(ctx, tx); err != nil {
		return nil, fmt.Errorf("read the sagas that are due: %w", err)
	}
	due, err := Collect(ctx, tx, s.text.due, []any{s.Time(now), limit}, scanSaga)
	if err != nil {
		return nil, fmt.Errorf("read the sagas that are due: %w", err)
	}
	return due, nil
}

// NextWake returns the earliest time that a saga waits for.
func (s *Sagas) NextWake(ctx context.Context) (time.Time, bool, error) {
	return s.earliest(ctx, s.text.next, "read when the next saga is due")
}

func (e *Engine) earliest(ctx context.Context, query, what string) (time.Time, bool, error) {
	var at sql.NullInt64
	err := e.Pool.QueryRowContext(ctx, query).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("%s: %w", what, err)
	}
	return timeOf(at), at.Valid, nil
}

// Transient reports whether an error may pass.
func (s *Sagas) Transient(err error) bool {
	return errors.Is(err, saga.ErrConflict) || s.Engine.Transient(err)
}

// Define stores a plan, unless it is there.
func (s *Sagas) Define(ctx context.Context, sagaType, fingerprint string, plan []byte, at time.Time) error {
	_, err := s.Pool.ExecContext(ctx, s.text.define, sagaType, fingerprint, string(plan), s.Time(at))
	if err != nil {
		return fmt.Errorf("store the plan of saga %s: %w", sagaType, err)
	}
	return nil
}

// Fingerprints counts unfinished sagas.
func (s *Sagas) Fingerprints(ctx context.Context) ([]saga.Fingerprint, error) {
	all, err := Collect(ctx, s.Pool, s.text.fingerprints, nil, func(rows *sql.Rows) (f saga.Fingerprint, err error) {
		return f, rows.Scan(&f.Type, &f.Fingerprint, &f.Count)
	})
	if err != nil {
		return nil, fmt.Errorf("count unfinished sagas: %w", err)
	}
	return all, nil
}

// Unfinished returns unfinished sagas of a definition.
func (s *Sagas) Unfinished(ctx context.Context, sagaType, fingerprint, after string, limit int) ([]saga.Record, error) {
	all, err := Collect(ctx, s.Pool, s.text.unfinished, []any{sagaType, fingerprint, after, limit}, scanSaga)
	if err != nil {
		return nil, fmt.Errorf("list unfinished sagas %s: %w", sagaType, err)
	}
	return all, nil
}
