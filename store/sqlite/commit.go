package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

const (
	// As the first statement it takes the write lock also where the
	// transaction did not begin with it.
	fenceSQL = mark + `UPDATE tidings_relay SET fence = fence WHERE source = ? AND fence = ?`

	removeSQL = mark + `DELETE FROM tidings_outbox WHERE position BETWEEN ? AND ?`

	removePlanSQL = mark + `DELETE FROM tidings_relay_plan WHERE source = ? AND id = ?`

	saveCountersSQL = mark + `INSERT INTO tidings_relay_counters (source, channel, counters) VALUES (?, ?, ?)
	ON CONFLICT (source, channel) DO UPDATE SET counters = excluded.counters`

	addPlanSQL = mark + `INSERT INTO tidings_relay_plan (source, id, positions) VALUES (?, ?, ?)`

	setAsideSQL = mark + `INSERT INTO tidings_outbox_aside
	(position, id, channel, message_key, type, subject, content_type, headers, payload, created_at, reason, aside_at)
	SELECT position, id, channel, message_key, type, subject, content_type, headers, payload, created_at, ?, ?
	FROM tidings_outbox WHERE position = ?`

	// Set-aside rows of a key, by what their columns say. The CASTs find keys
	// that somebody wrote as blobs.
	returnSQL = mark + `INSERT INTO tidings_outbox
	(position, id, channel, message_key, type, subject, content_type, headers, payload, created_at)
	SELECT position, id, channel, message_key, type, subject, content_type, headers, payload, created_at
	FROM tidings_outbox_aside
	WHERE CAST(COALESCE(channel, '') AS TEXT) = ? AND CAST(COALESCE(message_key, '') AS TEXT) = ?`

	returnedSQL = mark + `DELETE FROM tidings_outbox_aside
	WHERE CAST(COALESCE(channel, '') AS TEXT) = ? AND CAST(COALESCE(message_key, '') AS TEXT) = ?`

	openEpochSQL = mark + `UPDATE tidings_relay SET epoch = ?, lanes = ?, identity = ? WHERE source = ?`

	recordEpochSQL = mark + `INSERT INTO tidings_relay_epoch (source, epoch, lanes, identity, opened_at, reason)
	VALUES (?, ?, ?, ?, ?, ?)`

	dropCountersSQL = mark + `DELETE FROM tidings_relay_counters WHERE source = ?`

	dropPlansSQL = mark + `DELETE FROM tidings_relay_plan WHERE source = ?`
)

// Commit makes one change. With a plan, or anything else that must not be
// undone by a power failure once messages are published, it is synced to disk, and so is every
// transaction before it: the log is one file. Removing published rows needs no sync: without it
// they are published again, with the same numbers.
func (s *session) Commit(ctx context.Context, c relay.Change) error {
	if err := sqlstore.RefuseLog(&c); err != nil {
		return err
	}
	sync := s.db.synchronous
	if c.Plan != nil || c.Epoch != nil || len(c.SetAside) > 0 || len(c.Return) > 0 {
		sync = "full"
	}
	if err := s.setSync(ctx, sync); err != nil {
		return err
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := s.apply(ctx, tx, c); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

var syncSQL = map[string]string{
	"normal": mark + "PRAGMA synchronous = NORMAL",
	"full":   mark + "PRAGMA synchronous = FULL",
}

func (s *session) setSync(ctx context.Context, level string) error {
	if level == s.synced {
		return nil
	}
	if _, err := s.writer.ExecContext(ctx, syncSQL[level]); err != nil {
		return fmt.Errorf("set synchronous: %w", err)
	}
	s.synced = level
	return nil
}

func (s *session) apply(ctx context.Context, tx *sql.Tx, c relay.Change) error {
	result, err := tx.ExecContext(ctx, fenceSQL, s.source.name, s.fence)
	if err == nil {
		err = fenced(result)
	}
	if err != nil {
		return err
	}
	w := &writing{ctx: ctx, tx: tx}
	source := s.source.name
	if c.Epoch != nil {
		w.exec(openEpochSQL, c.Epoch.Name, c.Epoch.Lanes, c.Epoch.Identity, source)
		w.exec(recordEpochSQL, source, c.Epoch.Name, c.Epoch.Lanes, c.Epoch.Identity, s.db.now().UnixMicro(), c.Epoch.Reason)
		w.exec(dropCountersSQL, source)
		w.exec(dropPlansSQL, source)
	}
	for _, r := range sqlstore.Runs(c.Done) {
		w.exec(removeSQL, r.First, r.Last)
	}
	for _, id := range c.DonePlans {
		w.exec(removePlanSQL, source, id)
	}
	for _, channel := range slices.Sorted(maps.Keys(c.Counters)) {
		w.exec(saveCountersSQL, source, channel, c.Counters[channel])
	}
	if c.Plan != nil {
		w.exec(addPlanSQL, source, c.Plan.ID, c.Plan.Positions)
	}
	for _, a := range c.SetAside {
		w.exec(setAsideSQL, a.Reason, s.db.now().UnixMicro(), a.Position)
		w.exec(removeSQL, a.Position, a.Position)
	}
	for _, k := range c.Return {
		w.exec(returnSQL, k.Channel, k.Key)
		w.exec(returnedSQL, k.Channel, k.Key)
	}
	return w.err
}

// writing runs statements until one fails.
type writing struct {
	ctx context.Context
	tx  *sql.Tx
	err error
}

func (w *writing) exec(query string, args ...any) {
	if w.err == nil {
		_, w.err = w.tx.ExecContext(w.ctx, query, args...)
	}
}
