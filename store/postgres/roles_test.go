package postgres_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/inbox"
	"tidings.example/internal/servertest"
	"tidings.example/relay"
	"tidings.example/store/postgres"
)

// grantsFor returns the statements that the documentation gives for a role.
func grantsFor(t *testing.T, role string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/formats/tables.md")
	if err != nil {
		t.Fatal(err)
	}
	var grants strings.Builder
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "GRANT ") && strings.HasSuffix(strings.TrimSpace(line), " TO "+role+";") {
			grants.WriteString(line)
		}
	}
	if grants.Len() == 0 {
		t.Fatalf("docs/formats/tables.md has no statements for the role %s", role)
	}
	return grants.String()
}

// roles are the tables, opened by the owner and by one role for each documented one.
type roles struct{ owner, app, relay, operator *postgres.DB }

func setupRoles(t *testing.T) roles {
	t.Helper()
	names := map[string]string{}
	for _, role := range []string{"app", "relay", "operator"} {
		names[role] = servertest.Name(role)
	}
	root, err := pgx.Connect(t.Context(), servertest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the schema is gone
		for _, name := range names {
			if _, err := root.Exec(context.Background(), "DROP ROLE IF EXISTS "+pgx.Identifier{name}.Sanitize()); err != nil {
				t.Error(err)
			}
		}
		_ = root.Close(context.Background())
	})
	schema, err := url.Parse(servertest.PostgresSchema(t))
	if err != nil {
		t.Fatal("the URL of the test schema cannot be parsed")
	}
	r := roles{owner: open(t, schema.String())}
	if err := r.owner.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := exec(t.Context(), r.owner, "CREATE TABLE customers (id bigint)"); err != nil {
		t.Fatal(err)
	}
	for role, into := range map[string]**postgres.DB{"app": &r.app, "relay": &r.relay, "operator": &r.operator} {
		quoted := pgx.Identifier{names[role]}.Sanitize()
		in := schema.Query().Get("search_path")
		script := strings.ReplaceAll(grantsFor(t, role), " TO "+role+";", " TO "+quoted+";")
		script = strings.NewReplacer(" orders.", " "+in+".", "SCHEMA orders", "SCHEMA "+in).Replace(script)
		script = "CREATE ROLE " + quoted + " LOGIN PASSWORD 'test';" + script
		if err := exec(t.Context(), r.owner, script); err != nil {
			t.Fatalf("%v in\n%s", err, script)
		}
		own := *schema
		own.User = url.UserPassword(names[role], "test")
		*into = open(t, own.String())
	}
	return r
}

// TestDocumentedPrivilegesSuffice runs what each role is for with nothing but
// what docs/formats/tables.md grants it.
func TestDocumentedPrivilegesSuffice(t *testing.T) {
	t.Parallel()
	r := setupRoles(t)
	ctx := t.Context()
	ok := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for name, db := range map[string]*postgres.DB{"app": r.app, "relay": r.relay, "operator": r.operator} {
		ok(name+" is ready", db.Ready(ctx))
		for _, f := range db.Admin().Doctor(ctx) {
			if f.Status == admin.Fail {
				t.Errorf("the doctor for %s: %+v", name, f)
			}
			if f.Name == "privileges" && f.Status == admin.OK {
				t.Errorf("the doctor finds that %s may do everything", name)
			}
		}
	}

	ok("append", pgx.BeginFunc(ctx, r.app.Pool(), func(tx pgx.Tx) error {
		return r.app.Outbox().Append(ctx, tx, msg("a"), msg("b"), msg("c"))
	}))
	useInbox(ctx, t, r.app.Inbox())
	useSagas(ctx, t, r)
	useRelay(ctx, t, r.relay.Relay("shop"))
	useLog(ctx, t, r)
	useAdmin(ctx, t, r.operator.Admin())

	for _, forbidden := range []struct {
		db  *postgres.DB
		sql string
	}{
		{r.relay, "SELECT * FROM customers"}, {r.relay, "SELECT * FROM tidings_inbox_parked"}, {r.relay, "UPDATE tidings_outbox SET payload = ''"},
		{r.relay, "SELECT * FROM tidings_saga"}, {r.relay, "SELECT * FROM tidings_saga_journal"}, {r.relay, "SELECT * FROM tidings_saga_plan"},
		{r.relay, "SELECT * FROM tidings_timer"}, {r.relay, "SELECT * FROM tidings_command_lock"}, {r.relay, "SELECT * FROM tidings_command_aside"},
		{r.relay, "SELECT * FROM tidings_command_answer"}, {r.relay, "SELECT * FROM tidings_reply"},
		{r.app, "DELETE FROM tidings_saga"}, {r.app, "UPDATE tidings_saga_journal SET text = ''"}, {r.operator, "DELETE FROM tidings_saga"},
		{r.operator, "DELETE FROM tidings_saga_journal"}, {r.operator, "UPDATE tidings_command_lock SET saga_id = ''"},
		{r.app, "DELETE FROM tidings_outbox"}, {r.app, "UPDATE tidings_relay SET fence = 0"}, {r.app, "DELETE FROM tidings_audit"},
		{r.operator, "DELETE FROM tidings_audit"}, {r.operator, "DELETE FROM tidings_outbox"},
	} {
		var e *pgconn.PgError
		if err := exec(ctx, forbidden.db, forbidden.sql); !errors.As(err, &e) || e.Code != "42501" {
			t.Errorf("%s: %v, want it forbidden", forbidden.sql, err)
		}
	}
}

func msg(key string) tidings.Message {
	return tidings.Message{Channel: "orders", Key: key, Type: "T", Payload: []byte("{}")}
}

// useInbox does everything that an inbox does, and leaves two parked messages.
func useInbox(ctx context.Context, t *testing.T, in *postgres.Inbox[pgx.Tx]) {
	t.Helper()
	lane := tidings.Lane{Source: "shop", Epoch: "one", Channel: "orders", N: 1}
	id := inbox.MessageID{Source: "shop", ID: "1"}
	park := func(id string) inbox.Parked {
		m := msg("k")
		m.ID, m.Source, m.Time = id, "shop", time.Now()
		return inbox.Parked{Message: m, Reason: "bad", Attempts: 1}
	}
	first := park("1")
	key := first.HeldKey()
	steps := []func(ctx context.Context, tx pgx.Tx) error{
		func(ctx context.Context, tx pgx.Tx) error {
			want := inbox.Want{Lanes: []tidings.Lane{lane}, IDs: []inbox.MessageID{id}, Keys: []inbox.HeldKey{key}}
			if _, err := in.Lock(ctx, tx, "billing", want); err != nil {
				return err
			}
			return in.Save(ctx, tx, "billing", inbox.Changes{Lanes: []inbox.LaneState{{Lane: lane, Last: 1}}, IDs: []inbox.MessageID{id},
				Park: []inbox.Parked{first, park("2"), park("3")}})
		},
		func(ctx context.Context, tx pgx.Tx) error {
			p, err := in.First(ctx, tx, "billing", key)
			if err == nil {
				err = in.Fail(ctx, tx, "billing", p)
			}
			if err == nil {
				err = in.Remove(ctx, tx, "billing", p.ID)
			}
			return err
		},
	}
	for i, step := range steps {
		if err := in.InTx(ctx, step); err != nil {
			t.Errorf("inbox, step %d: %v", i, err)
		}
	}
	if _, err := in.Requests(ctx, "billing", 10); err != nil {
		t.Error(err)
	}
	if n, err := in.Forget(ctx, "billing", 0, 10); err != nil || n != 1 {
		t.Errorf("forgot %d, %v", n, err)
	}
	if n, _, err := in.CountHeld(ctx, "billing"); err != nil || n != 1 {
		t.Errorf("%d keys are held, %v", n, err)
	}
}

// useRelay does everything that a relay does, and leaves a set-aside row.
func useRelay(ctx context.Context, t *testing.T, source relay.Source) {
	t.Helper()
	s, st, err := source.Acquire(ctx, "relay-1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.Read(ctx, relay.Query{Limit: 10, Bytes: 1000})
	if err != nil || len(rows) != 3 {
		t.Fatalf("read %d rows, %v", len(rows), err)
	}
	a, b, c := rows[0].Position, rows[1].Position, rows[2].Position
	key := relay.HeldKey{Channel: "orders", Key: "b"}
	for i, change := range []relay.Change{
		{Epoch: &relay.Epoch{Name: "one", Lanes: 4, Identity: st.Now, Reason: "first"}},
		{Plan: &relay.Plan{ID: 1, Positions: relay.EncodePositions([]int64{a})}, SetAside: []relay.SetAside{{Position: b, Key: key, Reason: "bad"}}},
		{Done: []int64{a}, DonePlans: []int64{1}, Counters: map[string][]byte{"orders": relay.Counters{1}.Encode()}, Return: []relay.HeldKey{key}},
		{Counters: map[string][]byte{"orders": relay.Counters{2}.Encode()}},
		{SetAside: []relay.SetAside{{Position: b, Key: key, Reason: "bad"}, {Position: c, Key: relay.HeldKey{Channel: "orders", Key: "c"}, Reason: "bad"}}},
	} {
		if err := s.Commit(ctx, change); err != nil {
			t.Errorf("relay, change %d: %v", i, err)
		}
	}
	if _, err := s.Read(ctx, relay.Query{Ranges: []relay.Range{{First: 1, Last: c}}, After: c, Limit: 10}); err != nil {
		t.Error(err)
	}
	for range 3 {
		if err := s.Wait(ctx, time.Millisecond); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Renew(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Release(ctx); err != nil {
		t.Error(err)
	}
}

// useLog does what a relay does that reads the log, and what a service does that
// appends past the table. It leaves things as they were.
func useLog(ctx context.Context, t *testing.T, r roles) {
	t.Helper()
	s, _, err := r.relay.Relay("shop").Acquire(ctx, "relay-1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Release(ctx) }()
	appendMany(t, r.owner, 5)
	if err := exec(ctx, r.owner, "SELECT setval('tidings_outbox_positions', 1 << 16)"); err != nil {
		t.Fatal(err)
	}
	set := relay.PositionSet{High: 1 << 16}
	row := relay.Row{Message: msg("z")}
	row.Message.ID = "z"
	aside := relay.SetAside{Key: relay.HeldKey{Channel: "orders", Key: "z"}, Reason: "bad", Row: &row}
	if err := s.Commit(ctx, relay.Change{Reading: relay.FromLog, Log: &relay.Checkpoint{Position: []byte("0/1"), Published: set.Encode()},
		SetAside: []relay.SetAside{aside}}); err != nil {
		t.Fatal(err)
	}
	kept, err := r.relay.ReadAside(ctx, relay.AsideQuery{Key: aside.Key})
	if err != nil || len(kept) != 1 {
		t.Fatalf("%d rows are set aside, %v", len(kept), err)
	}
	aside.Position, aside.Row = kept[0].Position, nil
	for i, change := range []relay.Change{{KeepAside: []relay.SetAside{aside}}, {DoneAside: []int64{aside.Position}}} {
		if err := s.Commit(ctx, change); err != nil {
			t.Errorf("change %d: %v", i, err)
		}
	}
	for _, way := range []postgres.Append{postgres.AppendAndDelete, postgres.AppendToLog} {
		with, err := postgres.OnPool(ctx, r.app.Pool(), postgres.Config{Append: way})
		if err == nil {
			err = pgx.BeginFunc(ctx, r.app.Pool(), func(tx pgx.Tx) error {
				if err := with.Outbox().Append(ctx, tx, msg("a")); err != nil {
					return err
				}
				return with.Outbox().Append(ctx, tx, msg("b"), msg("c"))
			})
		}
		if err != nil {
			t.Errorf("append %s: %v", way, err)
		}
	}
	if err := r.relay.RemovePublished(ctx, set); err != nil {
		t.Error(err)
	}
	if n := countRows(t, r.owner); n != 0 {
		t.Errorf("%d published rows are left", n)
	}
	if err := s.Commit(ctx, relay.Change{Reading: relay.FromTable}); err != nil {
		t.Error(err)
	}
}

// useAdmin does everything that an operator does.
func useAdmin(ctx context.Context, t *testing.T, a *postgres.Admin) {
	t.Helper()
	act := admin.Action{Actor: "ada", Reason: "test"}
	ps, err := a.ListParked(ctx, admin.ParkedFilter{})
	if err != nil || len(ps) != 2 {
		t.Fatalf("%d parked messages, %v", len(ps), err)
	}
	rows, err := a.ListSetAside(ctx, 10)
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d set-aside rows, %v", len(rows), err)
	}
	_, getErr := a.GetParked(ctx, ps[0].ID)
	_, backlogErr := a.Backlog(ctx)
	_, migrationsErr := a.Migrations(ctx)
	_, logErr := a.LogStatus(ctx)
	if err := a.DropLog(ctx, act); !errors.Is(err, admin.ErrNotFound) {
		t.Errorf("drop a slot that is not there: %v", err)
	}
	for what, err := range map[string]error{
		"get": getErr, "backlog": backlogErr, "migrations": migrationsErr, "log": logErr,
		"ask for the log": a.AskReading(ctx, "log", false, act), "ask for the table": a.AskReading(ctx, "table", false, act),
		"edit":          a.EditParked(ctx, ps[0].ID, []byte("new"), act),
		"retry":         a.RetryParked(ctx, ps[0].ID, act),
		"discard":       a.DiscardParked(ctx, ps[1].ID, act),
		"retry aside":   a.RetrySetAside(ctx, "orders", "b", act),
		"discard aside": a.DiscardSetAside(ctx, rows[1].Position, act),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestMissingPrivilegesAreNamed: in one line.
func TestMissingPrivilegesAreNamed(t *testing.T) {
	t.Parallel()
	r := setupRoles(t)
	ctx := t.Context()
	_, _, err := r.app.Relay("shop").Acquire(ctx, "relay-1", time.Hour)
	if err == nil || !strings.Contains(err.Error(), "permission denied for table tidings_relay") || strings.Contains(err.Error(), "\n") {
		t.Errorf("a role without the relay's privileges: %v", err)
	}
	found := false
	for _, f := range r.app.Admin().Doctor(ctx) {
		found = found || f.Name == "privileges" && strings.Contains(f.Detail, "UPDATE on tidings_relay") && f.Advice != ""
	}
	if !found {
		t.Error("the doctor does not name what is missing")
	}
	if err := exec(ctx, r.owner, "DROP TABLE tidings_migration CASCADE; DROP TABLE tidings_outbox CASCADE"); err != nil {
		t.Fatal(err)
	}
	if err := r.operator.Migrate(ctx); err == nil || !strings.Contains(err.Error(), "owner") {
		t.Errorf("migrations by a role that may not: %v", err)
	}
}

func TestDoctorFindsADisabledTrigger(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	if err := exec(t.Context(), db, "ALTER TABLE tidings_outbox DISABLE TRIGGER tidings_outbox_wake"); err != nil {
		t.Fatal(err)
	}
	for _, f := range db.Admin().Doctor(t.Context()) {
		if f.Name == "wake-up trigger" && f.Status == admin.Warn && f.Advice != "" {
			return
		}
	}
	t.Error("not found")
}
