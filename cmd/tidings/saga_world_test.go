package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/broker/inproc"
	"tidings.example/command"
	"tidings.example/internal/connect"
	"tidings.example/saga"
	"tidings.example/saga/machine"
)

// newOrder is the data of the tests' saga.
type newOrder struct {
	Order string `json:"order"`
	Left  int    `json:"left"`
}

type reserveCredit struct {
	Order string `json:"order"`
}

func (reserveCredit) CommandType() string { return "ReserveCredit" }

type releaseCredit struct {
	Order string `json:"order"`
}

func (releaseCredit) CommandType() string { return "ReleaseCredit" }

type creditReserved struct {
	Left int `json:"left"`
}

func (creditReserved) ReplyType() string { return "CreditReserved" }

var customersService = command.Participant{Name: "customers", Channel: "customers.commands"}

// orderService is a service that runs sagas whose participant never answers:
// what happens to them, operators do.
type orderService struct {
	db         *connect.Database
	definition *saga.Definition[newOrder]
	manager    *saga.Manager[*sql.Tx]
	// broken lets the compensation of the first step fail.
	broken atomic.Bool
}

func newOrderService(t *testing.T, url string) *orderService {
	t.Helper()
	s := &orderService{db: openURL(t, url)}
	local := func(context.Context, *sql.Tx, *newOrder) error { return nil }
	cancel := func(context.Context, *sql.Tx, *newOrder) error {
		if s.broken.Load() {
			return errors.New("the ledger is closed")
		}
		return nil
	}
	s.definition = saga.Define("create-order",
		saga.Local("create", local, saga.UndoLocally(cancel)),
		saga.Invoke("reserve-credit", customersService, func(d *newOrder) reserveCredit { return reserveCredit{d.Order} },
			saga.OnReply(func(d *newOrder, r creditReserved) { d.Left = r.Left }),
			saga.UndoBy(func(d *newOrder) releaseCredit { return releaseCredit{d.Order} })).Within(time.Hour).AsPivot(),
		saga.Local("approve", local)).Undo(2, time.Millisecond, time.Millisecond)
	var err error
	s.manager, err = saga.New(saga.Config[*sql.Tx]{Name: "orders", Store: s.db.Sagas, Outbox: s.db.Outbox, Inbox: s.db.Inbox,
		Broker: inproc.New(inproc.Config{}), Definitions: []saga.AnyDefinition{s.definition}, Poll: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs the service until the test ends.
func (s *orderService) run(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := s.manager.Run(ctx); err != nil {
			t.Errorf("the service: %v", err)
		}
	})
	t.Cleanup(func() { stop(); done.Wait() })
}

func (s *orderService) start(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		inTx(t, s.db, func(ctx context.Context, tx *sql.Tx) error {
			_, err := saga.Start(ctx, tx, s.manager, s.definition, id, newOrder{Order: id})
			return err
		})
	}
}

func inTx(t *testing.T, db *connect.Database, fn func(ctx context.Context, tx *sql.Tx) error) {
	t.Helper()
	if err := db.Sagas.InTx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// record is a saga's row as the tests insert it.
type record struct {
	sagaType, id string
	state        machine.State
	step, err    string
	unchanged    time.Duration
}

// storeSagas inserts rows as package saga does, with a journal.
func storeSagas(t *testing.T, db *connect.Database, records ...record) {
	t.Helper()
	now := time.Now()
	inTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
		for _, r := range records {
			began := now.Add(-r.unchanged - 20*time.Second)
			instance, err := json.Marshal(machine.Instance{State: r.state, Journal: 4, Steps: map[string]machine.StepState{
				"create":         {Phase: machine.Done, Attempt: 1},
				"reserve-credit": {Phase: machine.StuckUndo, Attempt: 10, Error: r.err},
			}})
			if err != nil {
				return err
			}
			row := saga.Record{Ref: saga.Ref{Type: r.sagaType, ID: r.id}, State: r.state, Step: r.step, Error: r.err, Fingerprint: "f2",
				Data: []byte(`{"order":"` + r.id + `"}`), Instance: instance, Started: began, Changed: now.Add(-r.unchanged)}
			if r.state.Ended() {
				row.Ended = row.Changed
			}
			if _, err := db.Sagas.Insert(ctx, tx, &row, []machine.Entry{
				{Number: 1, At: began, What: machine.OccurredStart},
				{Number: 2, At: began.Add(15 * time.Millisecond), What: machine.OccurredDone, Step: "create", Attempt: 1},
				{Number: 3, At: began.Add(5 * time.Second), What: machine.OccurredTimeout, Step: "reserve-credit", Attempt: 1, Type: "ReserveCredit"},
				{Number: 4, At: row.Changed, What: machine.OccurredStuck, Step: "reserve-credit", Undo: true, Attempt: 10, Text: r.err},
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// storePlans stores an older and a newer definition of create-order.
func storePlans(t *testing.T, db *connect.Database) {
	t.Helper()
	plan := machine.Plan{Name: "create-order", Steps: []machine.Step{
		{Name: "create", Kind: machine.Local, Compensation: machine.Local},
		{Name: "reserve-credit", Kind: machine.Command, Type: "ReserveCredit", Participant: "customers", Compensation: machine.Command, Undoing: "ReleaseCredit",
			Timeout: 5 * time.Second},
	}}
	old, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	plan.Timeout = time.Hour
	plan.Steps = append(plan.Steps, machine.Step{Name: "approve", Kind: machine.Local, Pivot: true})
	plan.Steps[1].Timeout = 10 * time.Second
	current, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, p := range []struct {
		fingerprint string
		plan        []byte
		at          time.Time
	}{{"f1", old, now.Add(-time.Hour)}, {"f2", current, now}} {
		if err := db.Sagas.Define(t.Context(), "create-order", p.fingerprint, p.plan, p.at); err != nil {
			t.Fatal(err)
		}
	}
}

// storeLocks locks two tickets and sets commands of other sagas aside.
func storeLocks(t *testing.T, db *connect.Database) {
	t.Helper()
	now := time.Now()
	inTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
		for i, target := range []command.Target{{Participant: "kitchen", Name: "Ticket/99"}, {Participant: "kitchen", Name: "Ticket/100"}} {
			owner := command.Saga{Type: "create-order", ID: "o-1"}
			if _, err := db.Commands.Lock(ctx, tx, target, owner, now.Add(time.Duration(i-2)*time.Hour)); err != nil {
				return err
			}
			for range 2 * (1 - i) {
				m := tidings.Message{ID: tidings.NewID(), Channel: "kitchen.commands", Key: "o-2", Type: "CookTicket", Time: now, ContentType: "application/json"}
				if err := db.Commands.SetAside(ctx, tx, target, &m, now); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// auditRows returns what the audit table holds: action, actor and reason.
func auditRows(t *testing.T, db *connect.Database) (all []string) {
	t.Helper()
	rows, err := db.SQL.QueryContext(t.Context(), "SELECT actor, reason FROM tidings_audit ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var actor, reason string
		if err := rows.Scan(&actor, &reason); err != nil {
			t.Fatal(err)
		}
		all = append(all, actor+": "+reason)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
