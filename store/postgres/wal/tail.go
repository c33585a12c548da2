package wal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tidings.example/relay"
	"tidings.example/store/postgres"
)

// An opening is what Tail finds out and makes, step by step.
type opening struct {
	*Source
	fence       int64
	server      server
	slot        string
	publication publication
	control     *pgx.Conn // for what is asked beside the log; it has the reader's lock
	growing     bool
	conn        *pgconn.PgConn
	frames      *framer
	snapshot    *postgres.Snapshot
	start       relay.Start
}

// A server is what the log reader must know of it.
type server struct {
	level   string
	standby bool
	timeout time.Duration // wal_sender_timeout
	version int
	schema  string // of the outbox
	table   uint32
}

const serverSQL = `SELECT current_setting('wal_level'), pg_is_in_recovery(), (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_sender_timeout'),
	current_setting('server_version_num')::int, n.nspname::text, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid = 'tidings_outbox'::regclass`

// Tail opens the log. See relay.LogSource.
func (s *Source) Tail(ctx context.Context, _ relay.Session, st relay.State) (relay.Log, relay.Start, error) {
	o := &opening{Source: s, fence: st.Fence}
	l, err := o.open(ctx, st)
	if err != nil {
		o.abandon(context.WithoutCancel(ctx))
		return nil, relay.Start{}, fmt.Errorf("open the log of outbox %q: %w", s.Name(), err)
	}
	return l, o.start, nil
}

// abandon closes what was opened. The server drops a slot that is not ready.
func (o *opening) abandon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	if o.snapshot != nil {
		o.snapshot.Close(ctx)
	}
	if o.conn != nil {
		_ = o.conn.Close(ctx)
	}
	if o.control != nil {
		_ = o.control.Close(ctx)
	}
}

func (o *opening) open(ctx context.Context, st relay.State) (*Log, error) {
	if err := o.look(ctx); err != nil {
		return nil, err
	}
	var at position
	if len(st.Log.Position) > 0 {
		var err error
		if at, err = parsePosition(string(st.Log.Position)); err != nil {
			return nil, fmt.Errorf("the saved position: %w", err)
		}
	}
	if err := o.takeControl(ctx); err != nil {
		return nil, err
	}
	changed, err := o.publication.ensure(ctx, o.db)
	if err != nil {
		return nil, err
	}
	found, err := o.free(ctx, o.slot, o.fence)
	if err != nil {
		return nil, err
	}
	if o.conn, o.frames, err = connect(ctx, o.db); err != nil {
		return nil, err
	}
	if len(st.Log.Position) > 0 {
		why, err := found.lost(at)
		if err == nil && why == "" && changed {
			why = "the publication " + o.publication.name + " was missing or did not have the outbox's tables"
		}
		if err == nil && why == "" {
			why, err = o.follow(ctx, at)
		}
		if err != nil {
			return nil, err
		}
		if why == "" {
			return o.log(at), nil
		}
		o.start.Lost = why
	}
	at, err = o.begin(ctx)
	if err != nil {
		return nil, err
	}
	if o.start.Lost != "" {
		o.start.Lost = fmt.Sprintf("%s; the log is missing from %s to %s", o.start.Lost, st.Log.Position, at)
	}
	why, err := o.follow(ctx, at)
	if err == nil && why != "" {
		err = errors.New(why)
	}
	if err != nil {
		return nil, err
	}
	return o.log(at), nil
}

// look asks for what must be so before there can be a slot.
func (o *opening) look(ctx context.Context) error {
	var millis int64
	err := o.db.Pool().QueryRow(ctx, serverSQL).Scan(&o.server.level, &o.server.standby, &millis, &o.server.version, &o.server.schema, &o.server.table)
	if err != nil {
		return fmt.Errorf("look at the server: %w", err)
	}
	o.server.timeout = time.Duration(millis) * time.Millisecond
	switch {
	case o.server.standby:
		return errors.New("the server is a standby: connect to the primary, or add target_session_attrs=read-write to the URL")
	case o.server.level != "logical":
		return fmt.Errorf("wal_level is %s: set wal_level = logical in postgresql.conf and restart the server, or read the outbox from the table", o.server.level)
	}
	var name string
	if o.slot, name, err = o.db.LogNames(ctx); err != nil {
		return err
	}
	o.publication, err = findPublication(ctx, o.db, name, o.server.schema)
	return err
}

// takeControl opens the connection for questions. Its lock tells standbys that
// somebody is about to read. Where the lock cannot be had at once this is only
// not told.
func (o *opening) takeControl(ctx context.Context) error {
	var err error
	if o.control, err = o.db.DedicatedConn(ctx); err != nil {
		return err
	}
	_, err = o.control.Exec(ctx, `SELECT pg_try_advisory_lock_shared($1::int, $2::oid::int)`, readerLock, o.server.table)
	if err != nil {
		return fmt.Errorf("announce the reader: %w", err)
	}
	o.growing, err = postgres.GrowingPositions(ctx, o.control)
	return err
}

// begin makes a new slot and a view of the table at exactly its beginning.
func (o *opening) begin(ctx context.Context) (position, error) {
	o.start.Fresh = true
	if err := o.drop(ctx, o.slot, o.fence); err != nil {
		return position{}, err
	}
	made, err := pglogrepl.CreateReplicationSlot(ctx, o.conn, o.slot, "pgoutput",
		pglogrepl.CreateReplicationSlotOptions{SnapshotAction: "EXPORT_SNAPSHOT", Mode: pglogrepl.LogicalReplication})
	if err != nil {
		return position{}, explainCreate(ctx, o.slot, err)
	}
	at, err := parsePosition(made.ConsistentPoint)
	if err != nil {
		return position{}, fmt.Errorf("create replication slot %s: %w", o.slot, err)
	}
	if o.snapshot, err = o.db.OpenSnapshot(ctx, made.SnapshotName); err != nil {
		return position{}, err
	}
	o.start.Position = []byte(at.String())
	return at, nil
}

func explainCreate(ctx context.Context, name string, err error) error {
	what := fmt.Sprintf("create replication slot %s", name)
	switch code := codeOf(err); {
	case code == "53400" || code == "53300":
		return fmt.Errorf("%s: %w: drop one that is not used (pg_replication_slots has them), or raise max_replication_slots in postgresql.conf and restart the server", what, err)
	case code == "42501":
		return fmt.Errorf("%s: %w: the role needs REPLICATION (ALTER ROLE ... REPLICATION)", what, err)
	case code == "" && ctx.Err() != nil:
		return fmt.Errorf("%s: %w: it begins when the transactions that are open now have ended; pg_stat_activity has the oldest", what, ctx.Err())
	}
	return fmt.Errorf("%s: %w", what, err)
}

// follow starts the replication at a position. lost says why the server cannot.
func (o *opening) follow(ctx context.Context, at position) (lost string, err error) {
	options := []string{"proto_version '1'", "publication_names '" + pgx.Identifier{o.publication.name}.Sanitize() + "'"}
	if o.server.version >= 140000 {
		options = append(options, "binary 'true'", "messages 'true'")
	}
	for {
		err = pglogrepl.StartReplication(ctx, o.conn, o.slot, at.lsn, pglogrepl.StartReplicationOptions{Mode: pglogrepl.LogicalReplication, PluginArgs: options})
		switch codeOf(err) {
		case "55006":
			// Somebody was faster: a relay that does not know yet that it is fenced.
			if err = o.again(ctx); err != nil {
				return "", err
			}
			continue
		case "55000", "42704":
			lost := "the server refuses to read on: " + oneLine(err.Error())
			return lost, o.again(ctx)
		}
		break
	}
	if err != nil {
		return "", fmt.Errorf("start the replication: %w", err)
	}
	// Before it was ours, somebody may have confirmed more.
	found, err := readSlot(ctx, o.db, o.slot)
	if err != nil {
		return "", err
	}
	if lost, err = found.lost(at); err != nil || lost != "" {
		_ = o.conn.Close(ctx)
		return lost, errors.Join(err, o.again(ctx))
	}
	return "", nil
}

// again frees the slot, and makes a new connection after the old one has failed.
func (o *opening) again(ctx context.Context) error {
	_ = o.conn.Close(ctx)
	if _, err := o.free(ctx, o.slot, o.fence); err != nil {
		return err
	}
	var err error
	o.conn, o.frames, err = connect(ctx, o.db)
	return err
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
