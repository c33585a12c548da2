package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings.example/admin"
)

// Doctor looks at the connection, the server's settings, the tables, the
// user's privileges and the clock.
func (a *Admin) Doctor(ctx context.Context) []admin.Finding {
	found := []admin.Finding{a.connection(ctx)}
	if found[0].Status == admin.Fail {
		return found
	}
	found = append(found, a.variables(ctx)...)
	found = append(found, a.clock(ctx), a.tables(ctx), a.privileges(ctx))
	return append(found, a.captures(ctx)...)
}

func ok(name, format string, args ...any) admin.Finding {
	return admin.Finding{Name: name, Status: admin.OK, Detail: fmt.Sprintf(format, args...)}
}

func failed(name string, err error, advice string) admin.Finding {
	return admin.Finding{Name: name, Status: admin.Fail, Detail: explain(err).Error(), Advice: advice}
}

func (a *Admin) connection(ctx context.Context) admin.Finding {
	found, err := examine(ctx, a.db.inbox)
	if err != nil {
		return failed("connection", err, "check host, port, user, password and database")
	}
	kind := "MySQL"
	if found.mariadb {
		kind = "MariaDB"
	}
	return ok("connection", "%s, %s %s", a.db.place, kind, found.version)
}

// A check says which values of a server variable are right.
type check struct {
	name, query string
	right       func(value string) bool
	otherwise   admin.Status
	advice      string
}

var checks = []check{
	{"durability", "SELECT @@innodb_flush_log_at_trx_commit", is("1"), admin.Warn,
		"set innodb_flush_log_at_trx_commit = 1: otherwise a crash of the machine takes the last second of commits, published messages among them"},
	{"binary log", "SELECT CONCAT(@@log_bin, ' ', @@binlog_format)", func(v string) bool { return v != "1 STATEMENT" }, admin.Fail,
		"set binlog_format = ROW: with STATEMENT the server refuses READ COMMITTED transactions"},
	{"SQL mode", "SELECT @@GLOBAL.sql_mode", func(v string) bool { return strings.Contains(v, "STRICT_") }, admin.Warn,
		"add STRICT_TRANS_TABLES to sql_mode: otherwise the server cuts off values that are too long, without an error"},
	{"character set", "SELECT @@character_set_connection", is("utf8mb4"), admin.Fail,
		"connect with the character set utf8mb4"},
	{"packet size", "SELECT @@max_allowed_packet", func(v string) bool { return len(v) >= len(fmt.Sprint(1<<23)) }, admin.Warn,
		"set max_allowed_packet to 16 MiB or more: a message with its quotes must fit into one packet"},
}

func is(want string) func(string) bool { return func(v string) bool { return v == want } }

func (a *Admin) variables(ctx context.Context) []admin.Finding {
	var found []admin.Finding
	for _, c := range checks {
		var value string
		err := a.db.sql.QueryRowContext(ctx, c.query).Scan(&value)
		switch {
		case err != nil:
			found = append(found, failed(c.name, err, "check the connection"))
		case !c.right(value):
			found = append(found, admin.Finding{Name: c.name, Status: c.otherwise, Detail: strings.TrimPrefix(c.query, "SELECT ") + " is " + value, Advice: c.advice})
		default:
			found = append(found, ok(c.name, "%s", value))
		}
	}
	return found
}

func (a *Admin) clock(ctx context.Context) admin.Finding {
	var micros int64
	before := time.Now()
	err := a.db.inbox.QueryRowContext(ctx, "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))").Scan(&micros)
	if err != nil {
		return failed("clock", err, "check the connection")
	}
	took := time.Since(before)
	off := time.UnixMicro(micros).Sub(before.Add(took / 2)).Abs()
	if off > time.Second+took {
		return admin.Finding{Name: "clock", Status: admin.Warn,
			Detail: fmt.Sprintf("the server's clock differs from this machine's by %s", off.Round(time.Millisecond)),
			Advice: "synchronize the clocks of both: ages of messages and leases are read from them"}
	}
	return ok("clock", "differs by less than a second; the server answers in %s", took.Round(10*time.Microsecond))
}

func (a *Admin) tables(ctx context.Context) admin.Finding {
	if err := a.db.Ready(ctx); err != nil {
		return failed("tables", err, "run: tidings migrate up")
	}
	var wrong string
	err := a.db.inbox.QueryRowContext(ctx, `SELECT COALESCE(GROUP_CONCAT(table_name SEPARATOR ', '), '') FROM information_schema.tables
		WHERE table_schema = DATABASE() AND table_name LIKE 'tidings\_%' AND engine <> 'InnoDB'
			AND NOT (table_name = 'tidings_outbox_log' AND engine = 'BLACKHOLE')`).Scan(&wrong)
	if err != nil {
		return failed("tables", err, "run: tidings migrate up")
	}
	if wrong != "" {
		return failed("tables", fmt.Errorf("these have no transactions: %s", wrong), "convert them: ALTER TABLE ... ENGINE = InnoDB")
	}
	return ok("tables", "all migrations applied")
}

// needed are statements that do nothing and need a privilege each.
var needed = []struct{ privilege, statement string }{
	{"SELECT on tidings_outbox", "SELECT 1 FROM tidings_outbox LIMIT 0"},
	{"INSERT on tidings_outbox", "INSERT INTO tidings_outbox (channel, type, payload) SELECT '', '', '' FROM DUAL WHERE 1 = 0"},
	{"DELETE on tidings_outbox", "DELETE FROM tidings_outbox WHERE 1 = 0"},
	{"UPDATE on tidings_relay", "UPDATE tidings_relay SET fence = fence WHERE 1 = 0"},
	{"INSERT on tidings_relay_plan", "INSERT INTO tidings_relay_plan SELECT * FROM tidings_relay_plan WHERE 1 = 0"},
	{"INSERT on tidings_inbox_lane", "INSERT INTO tidings_inbox_lane SELECT * FROM tidings_inbox_lane WHERE 1 = 0"},
	{"UPDATE on tidings_inbox_lane", "UPDATE tidings_inbox_lane SET last = last WHERE 1 = 0"},
	{"DELETE on tidings_inbox_parked", "DELETE FROM tidings_inbox_parked WHERE 1 = 0"},
	{"UPDATE on tidings_saga", "UPDATE tidings_saga SET version = version WHERE 1 = 0"},
	{"INSERT on tidings_saga_journal", "INSERT INTO tidings_saga_journal SELECT * FROM tidings_saga_journal WHERE 1 = 0"},
	{"DELETE on tidings_timer", "DELETE FROM tidings_timer WHERE 1 = 0"},
	{"UPDATE on tidings_command_lock", "UPDATE tidings_command_lock SET since = since WHERE 1 = 0"},
	{"DELETE on tidings_command_aside", "DELETE FROM tidings_command_aside WHERE 1 = 0"},
	{"INSERT on tidings_command_answer", "INSERT INTO tidings_command_answer SELECT * FROM tidings_command_answer WHERE 1 = 0"},
	{"INSERT on tidings_reply", "INSERT INTO tidings_reply SELECT * FROM tidings_reply WHERE 1 = 0"},
	{"INSERT on tidings_audit", "INSERT INTO tidings_audit SELECT * FROM tidings_audit WHERE 1 = 0"},
}

func (a *Admin) privileges(ctx context.Context) admin.Finding {
	var lacking []string
	for _, n := range needed {
		_, err := a.db.inbox.ExecContext(ctx, n.statement)
		switch code(err) {
		case 0:
			if err != nil {
				return failed("privileges", err, "check the connection")
			}
		case codeTableAccessDenied, codeColumnAccessDenied:
			lacking = append(lacking, n.privilege)
		case codeNoSuchTable:
			return failed("privileges", err, "run: tidings migrate up")
		default:
			return failed("privileges", err, "GRANT SELECT, INSERT, UPDATE, DELETE on the tables tidings_*")
		}
	}
	if len(lacking) > 0 {
		slices.Sort(lacking)
		return admin.Finding{Name: "privileges", Status: admin.Warn, Detail: "the user lacks " + strings.Join(lacking, ", "),
			Advice: "GRANT them to the user, unless it only runs a part that does without"}
	}
	return ok("privileges", "all that relay, inbox and sagas need")
}
