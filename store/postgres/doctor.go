package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings.example/admin"
)

// Doctor looks at the connection, the server's settings, the tables, what the
// role may do, and the clock.
func (a *Admin) Doctor(ctx context.Context) []admin.Finding {
	c := a.connection(ctx)
	if c.Status == admin.Fail {
		return []admin.Finding{c}
	}
	found := []admin.Finding{c, a.role(ctx), a.encoding(ctx), a.durability(ctx), a.connections(ctx), a.tables(ctx), a.partitions(ctx), a.trigger(ctx),
		a.privileges(ctx), a.openTransactions(ctx), a.clock(ctx)}
	return append(found, a.captures(ctx)...)
}

func finding(name string, status admin.Status, advice, detail string, args ...any) admin.Finding {
	return admin.Finding{Name: name, Status: status, Detail: oneLine(fmt.Sprintf(detail, args...)), Advice: advice}
}

func failed(name string, err error, advice string) admin.Finding {
	return finding(name, admin.Fail, advice, "%s", err)
}

func (a *Admin) one(ctx context.Context, query string, into ...any) error {
	return a.db.pool.QueryRow(ctx, query).Scan(into...)
}

func (a *Admin) connection(ctx context.Context) admin.Finding {
	c := a.db.pool.Config().ConnConfig
	var version, schema string
	if _, err := a.db.checkVersion(ctx); err != nil {
		return failed("connection", err, "check the URL, that the server runs, and that it accepts this host")
	}
	if err := a.one(ctx, `SELECT current_setting('server_version'), COALESCE(current_schema(), '')`, &version, &schema); err != nil {
		return failed("connection", err, "check the URL")
	}
	if schema == "" {
		return failed("connection", a.db.checkSchema(ctx), "create the schema, or name another one as search_path in the URL")
	}
	return finding("connection", admin.OK, "", "PostgreSQL %s at %s, database %q, schema %q, user %q", version, address(c), c.Database, schema, c.User)
}

func (a *Admin) role(ctx context.Context) admin.Finding {
	var standby bool
	var readOnly string
	err := a.one(ctx, `SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')`, &standby, &readOnly)
	switch {
	case err != nil:
		return failed("server role", err, "check the connection")
	case standby:
		return finding("server role", admin.Fail, "connect to the primary, or add target_session_attrs=read-write to the URL", "a standby, which takes no writes")
	case readOnly == "on":
		return finding("server role", admin.Fail, "set it to off for this role and database", "default_transaction_read_only is on")
	}
	return finding("server role", admin.OK, "", "primary")
}

func (a *Admin) encoding(ctx context.Context) admin.Finding {
	var encoding string
	if err := a.one(ctx, `SELECT current_setting('server_encoding')`, &encoding); err != nil {
		return failed("encoding", err, "check the connection")
	}
	if encoding != "UTF8" {
		return finding("encoding", admin.Warn, "use a database with the encoding UTF8: not every key and header fits into this one", "%s", encoding)
	}
	return finding("encoding", admin.OK, "", "UTF8")
}

func (a *Admin) durability(ctx context.Context) admin.Finding {
	var sync, fsync, pages string
	err := a.one(ctx, `SELECT current_setting('synchronous_commit'), current_setting('fsync'), current_setting('full_page_writes')`, &sync, &fsync, &pages)
	switch {
	case err != nil:
		return failed("durability", err, "check the connection")
	case fsync == "off" || pages == "off":
		return finding("durability", admin.Warn, "set fsync and full_page_writes to on: a crash of the machine can damage the database",
			"fsync is %s, full_page_writes is %s", fsync, pages)
	case sync == "off":
		return finding("durability", admin.Warn, "set synchronous_commit to on for services, unless they may lose what they answered for; relays set it themselves",
			"synchronous_commit is off: a crash of the server takes the last transactions")
	}
	return finding("durability", admin.OK, "", "fsync on, synchronous_commit %s", sync)
}

func (a *Admin) connections(ctx context.Context) admin.Finding {
	var limit, used int
	err := a.one(ctx, `SELECT current_setting('max_connections')::int, (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend')`, &limit, &used)
	if err != nil {
		return failed("connections", err, "check the connection")
	}
	pool := int(a.db.pool.Config().MaxConns)
	if used+pool+2 > limit {
		return finding("connections", admin.Warn, "raise max_connections, or lower pool_max_conns in the URLs", "%d of %d in use, and this pool may open %d", used, limit, pool)
	}
	return finding("connections", admin.OK, "", "%d of %d in use", used, limit)
}

func (a *Admin) tables(ctx context.Context) admin.Finding {
	if err := a.db.Ready(ctx); err != nil {
		return failed("tables", err, "run: tidings migrate up; restore a table that was dropped from a backup")
	}
	return finding("tables", admin.OK, "", "%d tables, all migrations applied", len(tables))
}

func (a *Admin) trigger(ctx context.Context) admin.Finding {
	const name = "wake-up trigger"
	var enabled bool
	err := a.one(ctx, `SELECT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass('tidings_outbox') AND tgname = 'tidings_outbox_wake' AND tgenabled IN ('O', 'A'))`, &enabled)
	if err != nil {
		return failed(name, err, "check the connection")
	}
	if !enabled {
		return finding(name, admin.Warn, "run: tidings migrate up, or ALTER TABLE tidings_outbox ENABLE TRIGGER tidings_outbox_wake",
			"missing or disabled: a sleeping relay finds rows only when it looks, after its idle interval")
	}
	return finding(name, admin.OK, "", "enabled")
}

// grants are what each kind of program needs.
var grants = []struct {
	does   string
	tables map[string]string
}{
	{"append", map[string]string{"tidings_outbox": "INSERT"}},
	{"relay", map[string]string{
		"tidings_outbox": "SELECT, INSERT, DELETE", "tidings_outbox_aside": "SELECT, INSERT, UPDATE, DELETE", "tidings_relay": "SELECT, INSERT, UPDATE",
		"tidings_relay_counters": "SELECT, INSERT, UPDATE, DELETE", "tidings_relay_plan": "SELECT, INSERT, DELETE", "tidings_relay_epoch": "INSERT",
		"tidings_relay_log": "SELECT, UPDATE"}},
	{"handle messages", map[string]string{
		"tidings_inbox_lane": "SELECT, INSERT, UPDATE", "tidings_inbox_seen": "SELECT, INSERT, UPDATE, DELETE",
		"tidings_inbox_held": "SELECT, INSERT, UPDATE, DELETE", "tidings_inbox_parked": "SELECT, INSERT, UPDATE, DELETE"}},
	{"run sagas and timers", map[string]string{
		"tidings_saga": "SELECT, INSERT, UPDATE", "tidings_saga_journal": "INSERT", "tidings_saga_plan": "SELECT, INSERT",
		"tidings_timer": "SELECT, INSERT, UPDATE, DELETE"}},
	{"handle commands", map[string]string{
		"tidings_command_lock": "SELECT, INSERT, DELETE", "tidings_command_aside": "SELECT, INSERT, DELETE",
		"tidings_command_answer": "SELECT, INSERT, UPDATE, DELETE", "tidings_reply": "SELECT, INSERT, UPDATE, DELETE"}},
	{"operate", map[string]string{
		"tidings_outbox": "SELECT", "tidings_outbox_aside": "SELECT, UPDATE, DELETE", "tidings_relay": "SELECT",
		"tidings_relay_log": "SELECT, UPDATE", "tidings_inbox_held": "SELECT, UPDATE", "tidings_inbox_parked": "SELECT, UPDATE, DELETE", "tidings_audit": "INSERT",
		"tidings_saga": "SELECT, UPDATE", "tidings_saga_journal": "SELECT", "tidings_saga_plan": "SELECT", "tidings_timer": "SELECT",
		"tidings_command_lock": "SELECT, DELETE", "tidings_command_aside": "SELECT"}},
}

const privilegeSQL = `SELECT to_regclass($1) IS NOT NULL AND NOT has_table_privilege(to_regclass($1), $2)`

func (a *Admin) privileges(ctx context.Context) admin.Finding {
	var may, missing []string
	for _, g := range grants {
		lacks := false
		for _, table := range tables {
			for privilege := range strings.SplitSeq(g.tables[table], ", ") {
				if privilege == "" {
					continue
				}
				var no bool
				if err := a.db.pool.QueryRow(ctx, privilegeSQL, table, privilege).Scan(&no); err != nil {
					return failed("privileges", err, "check the connection")
				}
				if no {
					lacks = true
					if lack := privilege + " on " + table; !slices.Contains(missing, lack) {
						missing = append(missing, lack)
					}
				}
			}
		}
		if !lacks {
			may = append(may, g.does)
		}
	}
	switch {
	case len(may) == 0:
		return finding("privileges", admin.Fail, "grant what is missing; docs/formats/tables.md has the statements", "the role lacks %s", strings.Join(missing, ", "))
	case len(missing) > 0:
		return finding("privileges", admin.Warn, "this is as it should be for a role that does nothing else; docs/formats/tables.md has the statements",
			"the role may %s, and lacks %s", strings.Join(may, " and "), strings.Join(missing, ", "))
	}
	return finding("privileges", admin.OK, "", "the role may %s", strings.Join(may, ", "))
}

// openTransactions looks for what keeps rows of the outbox from being cleaned up.
func (a *Admin) openTransactions(ctx context.Context) admin.Finding {
	const name = "open transactions"
	var oldest float64
	err := a.one(ctx, `SELECT COALESCE(extract(epoch FROM max(clock_timestamp() - xact_start))::float8, 0) FROM pg_stat_activity
	WHERE datname = current_database() AND pid <> pg_backend_pid()`, &oldest)
	if err != nil {
		return failed(name, err, "check the connection")
	}
	age := time.Duration(oldest * float64(time.Second)).Round(time.Second)
	if age > 10*time.Minute {
		return finding(name, admin.Warn, "end it (pg_stat_activity shows it), or set idle_in_transaction_session_timeout: published rows cannot be cleaned up while it is open",
			"the oldest is open for %s", age)
	}
	return finding(name, admin.OK, "", "none is open for long")
}

func (a *Admin) clock(ctx context.Context) admin.Finding {
	asked := time.Now()
	var now time.Time
	if err := a.one(ctx, `SELECT clock_timestamp()`, &now); err != nil {
		return failed("clock", err, "check the connection")
	}
	// The answer was made between then and now.
	apart := max(time.Until(now), asked.Sub(now), 0)
	if apart > 5*time.Second {
		return finding("clock", admin.Warn, "synchronize the clocks: inboxes compare the times of messages", "this machine and the server are %s apart", apart.Round(time.Second))
	}
	return finding("clock", admin.OK, "", "agrees with this machine's")
}
