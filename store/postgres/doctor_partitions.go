package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"

	"tidings.example/admin"
	"tidings.example/relay"
)

// ring is how many partitions the outbox has; see the migration.
const ring = 4

// partitionStatsSQL describes the partitions of a table, and tells which the role
// may not truncate.
const partitionStatsSQL = `SELECT count(*), COALESCE(sum(pg_total_relation_size(inhrelid)), 0)::bigint,
	COALESCE(array_agg(inhrelid::regclass::text ORDER BY inhrelid) FILTER (WHERE NOT has_table_privilege(inhrelid, 'TRUNCATE')), '{}')
	FROM pg_inherits WHERE inhparent = to_regclass($1)`

// largeOutbox is more than a busy outbox has that is cleaned up as it should be.
const largeOutbox = 1 << 30

// partitions looks at the space that the outbox takes, and whether it can be given back.
func (a *Admin) partitions(ctx context.Context) admin.Finding {
	const name = "outbox partitions"
	var size, published int64
	var locked []string
	for _, table := range []string{"tidings_outbox", "tidings_outbox_log"} {
		var n int
		var bytes int64
		var not []string
		if err := a.db.pool.QueryRow(ctx, partitionStatsSQL, table).Scan(&n, &bytes, &not); err != nil {
			return failed(name, a.db.advise(ctx, err), "check the connection")
		}
		if n != ring {
			return finding(name, admin.Fail, "run: tidings migrate up; attach a partition that was detached again",
				"%s has %d partitions instead of %d: rows that belong to one that is missing cannot be appended", table, n, ring)
		}
		size, locked = size+bytes, append(locked, not...)
	}
	mib := size >> 20
	st, err := a.LogStatus(ctx)
	switch {
	case errors.Is(err, relay.ErrCorrupt):
		return failed(name, err, "switch to the table and back: tidings relay switch --to table")
	case codeOf(err) == "42501": // a role that appends, or handles messages
		return finding(name, admin.OK, "", "%d MiB", mib)
	case err != nil:
		return failed(name, err, "check the connection")
	}
	published = st.Published
	switch {
	case st.Reading == string(relay.FromLog) && len(locked) > 0 && a.mayRelay(ctx):
		slices.Sort(locked)
		return finding(name, admin.Warn, "grant TRUNCATE on them to the relay's role; docs/formats/tables.md has the statements",
			"published rows cannot be removed: the role may not truncate %s", strings.Join(locked, ", "))
	case size > largeOutbox:
		return finding(name, admin.Warn, "look at the backlog (tidings outbox), and for transactions that keep the table's lock, such as a dump",
			"%d MiB, with %d rows that are published and not removed", mib, published)
	}
	return finding(name, admin.OK, "", "%d MiB, with %d rows that are published and not removed", mib, published)
}

// mayRelay tells whether the role is one that a relay has: others need no TRUNCATE.
func (a *Admin) mayRelay(ctx context.Context) bool {
	var may bool
	err := a.one(ctx, `SELECT has_table_privilege('tidings_relay', 'UPDATE')`, &may)
	return err == nil && may
}
