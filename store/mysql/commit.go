package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

const (
	fenceNowSQL = `SELECT fence FROM tidings_relay WHERE source = ?`

	fenceSQL = fenceNowSQL + ` FOR UPDATE`

	// A range reads the row behind its end, and a scan all rows; both wait where
	// another transaction has not committed what they read. A list that is joined
	// in this order looks up each row.
	removeSQL = `DELETE o FROM (SELECT ? AS position%s) p
	STRAIGHT_JOIN tidings_outbox o FORCE INDEX (PRIMARY) ON o.position = p.position`

	// removeRows bounds the positions that one statement removes.
	removeRows = 500

	removePlansSQL = `DELETE FROM tidings_relay_plan WHERE source = ? AND id IN (`

	saveCountersSQL = `INSERT INTO tidings_relay_counters (source, channel, counters) VALUES (?, ?, ?)
	ON DUPLICATE KEY UPDATE counters = VALUES(counters)`

	addPlanSQL = `INSERT INTO tidings_relay_plan (source, id, positions, aside) VALUES (?, ?, ?, ?)`

	setAsideSQL = `INSERT INTO tidings_outbox_aside
	(position, id, channel, message_key, type, subject, content_type, headers, payload, created_at, reason, aside_at)
	SELECT position, id, channel, message_key, type, subject, content_type, headers, payload, created_at, ?, UTC_TIMESTAMP(6)
	FROM tidings_outbox WHERE position = ?`

	removeOneSQL = `DELETE FROM tidings_outbox WHERE position = ?`

	ofKeySQL = ` WHERE CAST(COALESCE(channel, '') AS BINARY) = CAST(? AS BINARY)
	AND CAST(COALESCE(message_key, '') AS BINARY) = CAST(? AS BINARY)`

	returnSQL = `INSERT INTO tidings_outbox
	(position, id, channel, message_key, type, subject, content_type, headers, payload, created_at)
	SELECT position, id, channel, message_key, type, subject, content_type, headers, payload, created_at
	FROM tidings_outbox_aside` + ofKeySQL

	returnedSQL = `DELETE FROM tidings_outbox_aside` + ofKeySQL

	openEpochSQL = `UPDATE tidings_relay SET epoch = ?, lanes = ?, identity = ? WHERE source = ?`

	recordEpochSQL = `INSERT INTO tidings_relay_epoch (source, epoch, lanes, identity, opened_at, reason)
	VALUES (?, ?, ?, ?, UTC_TIMESTAMP(6), ?)`

	dropCountersSQL = `DELETE FROM tidings_relay_counters WHERE source = ?`

	dropPlansSQL = `DELETE FROM tidings_relay_plan WHERE source = ?`
)

// A step is one statement of a change.
type step struct {
	query string
	args  []any
}

// Commit makes one change. What a relay does all the time takes two round
// trips: one locks the lease's row and reads the fence, one does the rest.
func (s *session) Commit(ctx context.Context, c relay.Change) error {
	if s.db.owned && c.Epoch == nil && len(c.SetAside) == 0 && len(c.Return) == 0 && len(c.KeepAside) == 0 && c.Reading == "" {
		return s.commitAtOnce(ctx, s.steps(c))
	}
	if c.Reading == relay.FromTable {
		if err := s.holds(ctx, s.conn, fenceNowSQL); err != nil {
			return err
		}
		if err := s.db.removeSaved(ctx); err != nil {
			return fmt.Errorf("remove published rows: %w", err)
		}
	}
	if c.Reading != "" || len(c.Return) > 0 {
		defer s.db.removal.stale.Store(true)
	}
	set, err := s.asideSteps(ctx, c.SetAside)
	if err != nil {
		return err
	}
	tx, err := s.conn.BeginTx(ctx, s.db.isolation())
	if err != nil {
		return err
	}
	if err := s.apply(ctx, tx, c, set); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

func (s *session) apply(ctx context.Context, tx *sql.Tx, c relay.Change, setAside []step) error {
	if err := s.holds(ctx, tx, fenceSQL); err != nil {
		return err
	}
	// An epoch drops the counters and plans before it, so it comes first.
	all := slices.Concat(s.epochSteps(c.Epoch), keepAsideSteps(c.KeepAside), setAside, returnSteps(c.Return), s.steps(c))
	if err := runSteps(ctx, tx, all); err != nil || c.Reading == "" {
		return err
	}
	return s.switchReading(ctx, tx, c)
}

// holds returns ErrFenced if the lease is another's.
func (s *session) holds(ctx context.Context, q rowQueryer, query string) error {
	var fence int64
	if err := q.QueryRowContext(ctx, query, s.source.name).Scan(&fence); err != nil {
		return err
	}
	if fence != s.fence {
		return relay.ErrFenced
	}
	return nil
}

func runSteps(ctx context.Context, tx *sql.Tx, steps []step) error {
	for _, step := range steps {
		if _, err := tx.ExecContext(ctx, step.query, step.args...); err != nil {
			return err
		}
	}
	return nil
}

// commitAtOnce sends several statements together. That is for parameters that
// are numbers, names and bytes of this project's making, never for what
// somebody wrote into a message. A statement that fails ends them all.
func (s *session) commitAtOnce(ctx context.Context, steps []step) error {
	rows, err := s.conn.QueryContext(ctx, "START TRANSACTION; "+fenceSQL, s.source.name)
	if err != nil {
		return s.undo(ctx, err)
	}
	var fence int64
	if rows.Next() { // the driver skips results without rows, as of START TRANSACTION
		err = rows.Scan(&fence)
	}
	if e := rows.Err(); err == nil {
		err = e
	}
	if e := rows.Close(); err == nil {
		err = e
	}
	if err == nil && fence != s.fence {
		err = relay.ErrFenced
	}
	if err != nil {
		return s.undo(ctx, err)
	}
	var text strings.Builder
	var args []any
	for _, step := range steps {
		text.WriteString(step.query)
		text.WriteString("; ")
		args = append(args, step.args...)
	}
	text.WriteString("COMMIT")
	if _, err := s.conn.ExecContext(ctx, text.String(), args...); err != nil {
		return s.undo(ctx, err)
	}
	return nil
}

// undo rolls back, also where ctx is done: the driver then closes the
// connection, and the server rolls back by itself.
func (s *session) undo(ctx context.Context, err error) error {
	if _, e := s.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); e != nil {
		return fmt.Errorf("%w (and rolling back: %v)", err, e)
	}
	return err
}

// steps are those of every day.
func (s *session) steps(c relay.Change) []step {
	var steps []step
	source := s.source.name
	steps = append(steps, removeSteps(c.Done)...)
	steps = append(steps, doneAsideSteps(c.DoneAside)...)
	if len(c.DonePlans) > 0 {
		args := []any{source}
		for _, id := range c.DonePlans {
			args = append(args, id)
		}
		steps = append(steps, step{removePlansSQL + repeat("?", ", ", len(c.DonePlans)) + ")", args})
	}
	for _, channel := range slices.Sorted(maps.Keys(c.Counters)) {
		steps = append(steps, step{saveCountersSQL, []any{source, channel, c.Counters[channel]}})
	}
	if c.Plan != nil {
		steps = append(steps, step{addPlanSQL, []any{source, c.Plan.ID, c.Plan.Positions, c.Plan.Aside}})
	}
	if c.Log != nil && c.Reading != relay.FromTable { // which removes it again
		steps = append(steps, saveLog(c.Log))
	}
	return steps
}

func returnSteps(keys []relay.HeldKey) []step {
	var steps []step
	for _, k := range keys {
		steps = append(steps, step{returnSQL, []any{k.Channel, k.Key}}, step{returnedSQL, []any{k.Channel, k.Key}})
	}
	return steps
}

func (s *session) epochSteps(e *relay.Epoch) []step {
	if e == nil {
		return nil
	}
	source := s.source.name
	return []step{
		{openEpochSQL, []any{e.Name, e.Lanes, e.Identity, source}},
		{recordEpochSQL, []any{source, e.Name, e.Lanes, e.Identity, sqlstore.Reason(e.Reason)}},
		{dropCountersSQL, []any{source}},
		{dropPlansSQL, []any{source}},
	}
}
