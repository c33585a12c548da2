package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

// Each statement of a commit but the first does nothing unless the fence is the
// session's. The first locks the lease, so nobody can take it until the
// transaction ends; it also tells the session.
const (
	fenceSQL = `SELECT fence FROM tidings_relay WHERE source = $1 AND fence = $2 FOR UPDATE`

	// fenced is evaluated once for each statement, before its rows.
	fenced = `(SELECT fence FROM tidings_relay WHERE source = $1) = $2`

	doneRangesSQL = `DELETE FROM tidings_outbox o USING unnest($3::bigint[], $4::bigint[]) AS r (first, last)
	WHERE ` + fenced + ` AND o.position BETWEEN r.first AND r.last`

	donePlansSQL = `DELETE FROM tidings_relay_plan WHERE ` + fenced + ` AND source = $1 AND id = ANY ($3::bigint[])`

	countersUpsertSQL = `INSERT INTO tidings_relay_counters (source, channel, counters)
	SELECT $1, c.channel, c.counters FROM unnest($3::text[], $4::bytea[]) AS c (channel, counters) WHERE ` + fenced + `
	ON CONFLICT (source, channel) DO UPDATE SET counters = excluded.counters`

	planSQL = `INSERT INTO tidings_relay_plan (source, id, positions, aside) SELECT $1, $3, $4, $5 WHERE ` + fenced

	setAsideSQL = `WITH moved AS (DELETE FROM tidings_outbox WHERE ` + fenced + ` AND position = ANY ($3::bigint[]) RETURNING *)
	INSERT INTO tidings_outbox_aside (position, id, channel, message_key, type, subject, content_type, headers, payload, created_at, reason)
	SELECT m.position, m.id, m.channel, m.message_key, m.type, m.subject, m.content_type, m.headers, m.payload, m.created_at, a.reason
	FROM moved m JOIN unnest($3::bigint[], $4::text[]) AS a (position, reason) ON a.position = m.position ORDER BY m.position`

	returnSQL = `WITH moved AS (DELETE FROM tidings_outbox_aside USING unnest($3::text[], $4::text[]) AS k (channel, message_key)
		WHERE ` + fenced + ` AND left(COALESCE(tidings_outbox_aside.channel, ''), 1000) = k.channel
			AND left(COALESCE(tidings_outbox_aside.message_key, ''), 1000) = k.message_key
		RETURNING tidings_outbox_aside.*)
	INSERT INTO tidings_outbox (position, id, channel, message_key, type, subject, content_type, headers, payload, created_at)
	SELECT position, id, channel, message_key, type, subject, content_type, headers, payload, created_at FROM moved`

	forgetCountersSQL = `DELETE FROM tidings_relay_counters WHERE ` + fenced + ` AND source = $1`

	forgetPlansSQL = `DELETE FROM tidings_relay_plan WHERE ` + fenced + ` AND source = $1`

	openEpochSQL = `UPDATE tidings_relay SET epoch = $3, lanes = $4, identity = $5 WHERE source = $1 AND fence = $2`

	recordEpochSQL = `INSERT INTO tidings_relay_epoch (source, epoch, lanes, identity, reason)
	SELECT $1, $3, $4, $5, $6 WHERE ` + fenced
)

// Commit makes the change in one round trip and one transaction, which the
// server begins and ends by itself. Only a hand-over to the table takes more.
func (x *session) Commit(ctx context.Context, c relay.Change) error {
	all, err := x.statements(&c)
	if err != nil {
		return fmt.Errorf("commit to the outbox: %w", err)
	}
	held := false
	all[0].row = func(scan func(...any) error) error {
		held = true
		return scan(new(int64))
	}
	if c.Reading == relay.FromTable {
		err = x.handOver(ctx, &c, all)
	} else {
		err = pgxRunner{x.work}.run(ctx, all...)
	}
	switch {
	case err != nil:
		return fmt.Errorf("commit to the outbox: %w", err)
	case !held:
		return relay.ErrFenced
	case len(c.Return) > 0 || c.Reading != "":
		x.floor.reset()
	}
	return nil
}

// statements are those of a change, the first of which locks the lease.
func (x *session) statements(c *relay.Change) ([]statement, error) {
	all := []statement{x.fencedStatement(fenceSQL)}
	add := func(sql string, args ...any) { all = append(all, x.fencedStatement(sql, args...)) }
	moved, stored, err := setAside(c.SetAside)
	if err != nil {
		return nil, err
	}
	if e := c.Epoch; e != nil {
		add(forgetCountersSQL)
		add(forgetPlansSQL)
		add(openEpochSQL, e.Name, e.Lanes, e.Identity)
		add(recordEpochSQL, e.Name, e.Lanes, e.Identity, sqlstore.Reason(e.Reason))
	}
	if len(c.Done) > 0 {
		first, last := doneRanges(c.Done)
		add(doneRangesSQL, first, last)
	}
	if len(c.DonePlans) > 0 {
		add(donePlansSQL, c.DonePlans)
	}
	if len(c.Counters) > 0 {
		add(countersUpsertSQL, counterArrays(c.Counters)...)
	}
	if len(c.DoneAside) > 0 {
		add(doneAsideSQL, c.DoneAside)
	}
	if len(c.KeepAside) > 0 {
		add(keepAsideSQL, asideArrays(c.KeepAside)...)
		add(endRetrySQL, heldArrays(keysOf(c.KeepAside))...)
	}
	if len(moved) > 0 {
		add(setAsideSQL, asideArrays(moved)...)
	}
	if stored != nil {
		add(storeAsideSQL, stored.args()...)
	}
	if len(c.Return) > 0 {
		add(returnSQL, heldArrays(c.Return)...)
	}
	if c.Plan != nil {
		add(planSQL, c.Plan.ID, c.Plan.Positions, c.Plan.Aside)
	}
	if c.Log != nil {
		add(saveLogSQL, saveLogArgs(c.Log)...)
	}
	if c.Reading != "" {
		add(readingSQL, string(c.Reading))
	}
	return all, nil
}

// handOver makes a change after which rows are read from the table: those that
// were published are removed from it in the same transaction.
func (x *session) handOver(ctx context.Context, c *relay.Change, all []statement) error {
	return pgx.BeginTxFunc(ctx, x.work, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		var encoded []byte
		all = append(all, x.fencedStatement(publishedSQL))
		all[len(all)-1].row = func(scan func(...any) error) error { return scan(&encoded) }
		if err := onPgx(tx).run(ctx, all...); err != nil {
			return err
		}
		first, last, err := publishedRanges(encoded)
		if err != nil {
			return err
		}
		return onPgx(tx).run(ctx, x.fencedStatement(doneRangesSQL, first, last), x.fencedStatement(forgetLogSQL))
	})
}

// fencedStatement has the source and the fence as its first parameters.
func (x *session) fencedStatement(sql string, args ...any) statement {
	return statement{sql: sql, args: append([]any{x.source.name, x.fence}, args...)}
}

// doneRanges joins positions to ranges: a delete by range costs less than one by position.
func doneRanges(done []int64) (first, last []int64) {
	for _, r := range sqlstore.Runs(done) {
		first, last = append(first, r.First), append(last, r.Last)
	}
	return first, last
}

func counterArrays(counters map[string][]byte) []any {
	channels := make([]string, 0, len(counters))
	encoded := make([][]byte, 0, len(counters))
	for channel, c := range counters {
		channels, encoded = append(channels, channel), append(encoded, c)
	}
	return []any{channels, encoded}
}

func asideArrays(aside []relay.SetAside) []any {
	positions, reasons := make([]int64, len(aside)), make([]string, len(aside))
	for i, a := range aside {
		positions[i], reasons[i] = a.Position, sqlstore.Reason(a.Reason)
	}
	return []any{positions, reasons}
}

func keysOf(aside []relay.SetAside) []relay.HeldKey {
	keys := make([]relay.HeldKey, len(aside))
	for i, a := range aside {
		keys[i] = a.Key
	}
	return keys
}

func heldArrays(keys []relay.HeldKey) []any {
	channels, texts := make([]string, 0, len(keys)), make([]string, 0, len(keys))
	seen := make([]relay.HeldKey, 0, len(keys))
	for _, k := range keys {
		k.Retry = false
		if !slices.Contains(seen, k) {
			seen = append(seen, k)
			channels, texts = append(channels, k.Channel), append(texts, k.Key)
		}
	}
	return []any{channels, texts}
}
