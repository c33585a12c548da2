package wal

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pglogrepl"

	"tidings.example/admin"
	"tidings.example/store/postgres"
)

const (
	settingsSQL = `SELECT current_setting('wal_level'), (SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
	current_setting('max_replication_slots')::int, (SELECT count(*)::int FROM pg_replication_slots),
	current_setting('max_wal_senders')::int, (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'walsender'),
	(SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user), current_user::text`

	schemaSQL = `SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('tidings_outbox')`
)

// Doctor looks at what reading the outbox from the log needs, whether or not it is
// read so.
func Doctor(ctx context.Context, db *postgres.DB) []admin.Finding {
	const name = "log reading"
	var level, user, schema string
	var keep int64
	var slots, usedSlots, senders, usedSenders int
	var replication bool
	err := db.Pool().QueryRow(ctx, settingsSQL).Scan(&level, &keep, &slots, &usedSlots, &senders, &usedSenders, &replication, &user)
	if err == nil {
		err = db.Pool().QueryRow(ctx, schemaSQL).Scan(&schema)
	}
	var slotName, publicationName string
	if err == nil {
		slotName, publicationName, err = db.LogNames(ctx)
	}
	if err != nil {
		return []admin.Finding{failed(name, err)}
	}
	if level != "logical" {
		return []admin.Finding{finding(name, admin.Warn, "to read the outbox from the log, set wal_level = logical and restart the server", "wal_level is %s", level)}
	}
	found, err := readSlot(ctx, db, slotName)
	if err != nil {
		return []admin.Finding{failed(name, err)}
	}
	all := []admin.Finding{finding(name, admin.OK, "", "wal_level is logical"), role(user, replication), room(found, slots, usedSlots, senders, usedSenders), limit(keep)}
	all = append(all, publicationFinding(ctx, db, publicationName, schema))
	if found != nil {
		all = append(all, slotFinding(ctx, db, found))
	}
	return all
}

func finding(name string, status admin.Status, advice, detail string, args ...any) admin.Finding {
	return admin.Finding{Name: name, Status: status, Detail: oneLine(fmt.Sprintf(detail, args...)), Advice: advice}
}

func failed(name string, err error) admin.Finding {
	return finding(name, admin.Fail, "check the connection, and run: tidings migrate up", "%s", err)
}

func role(user string, replication bool) admin.Finding {
	const name = "log reader's role"
	if !replication {
		return finding(name, admin.Warn, "for a relay that reads the log run as a superuser: ALTER ROLE ... REPLICATION", "%q lacks REPLICATION", user)
	}
	return finding(name, admin.OK, "", "%q may read the log", user)
}

func room(own *slot, slots, usedSlots, senders, usedSenders int) admin.Finding {
	const name = "log reader's room"
	detail := fmt.Sprintf("%d of %d replication slots and %d of %d walsenders in use", usedSlots, slots, usedSenders, senders)
	switch {
	case own == nil && usedSlots >= slots:
		return finding(name, admin.Warn, "drop a replication slot that is not used, or raise max_replication_slots and restart the server", "%s", detail)
	case usedSenders >= senders:
		return finding(name, admin.Warn, "raise max_wal_senders and restart the server", "%s", detail)
	}
	return finding(name, admin.OK, "", "%s", detail)
}

func limit(keep int64) admin.Finding {
	const name = "log limit"
	if keep < 0 {
		return finding(name, admin.Warn, "set max_slot_wal_keep_size to what the disk has to spare: with it a dead relay loses its place in the log and not the disk",
			"max_slot_wal_keep_size is -1: a relay that is away for long fills the server's disk")
	}
	return finding(name, admin.OK, "", "the server keeps at most %d MiB for a relay that is away", keep)
}

func publicationFinding(ctx context.Context, db *postgres.DB, name, schema string) admin.Finding {
	const what = "publication"
	p, err := findPublication(ctx, db, name, schema)
	var repairs []string
	if err == nil {
		repairs, err = p.repairs(ctx, db)
	}
	if err != nil {
		return failed(what, err)
	}
	if len(repairs) > 0 {
		return finding(what, admin.Warn, "the relay makes it if it may; otherwise run as the owner of the tables: "+strings.Join(repairs, "; "), "%s is missing or incomplete", name)
	}
	return finding(what, admin.OK, "", "%s has the outbox's tables", name)
}

func slotFinding(ctx context.Context, db *postgres.DB, s *slot) admin.Finding {
	const name = "replication slot"
	if why := s.invalid(); why != "" {
		return finding(name, admin.Fail, "start a relay: it begins anew and reads unpublished rows from the table", "%s", why)
	}
	confirmed, err := pglogrepl.ParseLSN(*s.Confirmed)
	if err != nil {
		return failed(name, err)
	}
	lag, err := lagOf(ctx, db.Pool(), s.Name, confirmed)
	if err != nil {
		return failed(name, err)
	}
	reader := "nobody reads from it"
	if s.ActivePID != nil {
		reader = fmt.Sprintf("process %d of the server reads from it", *s.ActivePID)
	}
	detail := fmt.Sprintf("%s: %s, %d bytes behind, %d bytes kept", s.Name, reader, lag.Bytes, lag.Retained)
	switch {
	case s.ActivePID == nil:
		return finding(name, admin.Warn, "start a relay, or if the log is not to be read any more, run: tidings relay drop-log", "%s", detail)
	case lag.Limit > 0 && lag.Retained > lag.Limit/2:
		return finding(name, admin.Warn, "see why the relay is behind, or raise max_slot_wal_keep_size: beyond it the place in the log is lost", "%s of %d", detail, lag.Limit)
	}
	return finding(name, admin.OK, "", "%s", detail)
}
