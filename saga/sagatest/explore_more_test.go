package sagatest_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tidings.example/command"
	"tidings.example/event"
	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/saga/sagatest"
)

// ledger is a world with the orchestrator's database in it.
type ledger struct {
	world
	order string
	paid  int
}

func newLedger() *ledger { return &ledger{world: *newWorld()} }

// set is a local step on a ledger.
func set(state string) func(w *ledger, d *CreateOrder) error {
	return func(w *ledger, d *CreateOrder) error {
		w.order += state + " "
		d.Reason = state
		return nil
	}
}

// onLedger is a saga whose local steps work in transactions that this test does not have.
func onLedger() sagatest.Exploration[ledger, CreateOrder] {
	d := saga.Define("create-order",
		saga.Local("create", onPaper, saga.UndoLocally(onPaper)),
		saga.Invoke("reserve-credit", Customers, reserveCredit, saga.UndoBy(releaseCredit)).Within(5*time.Second),
		saga.Local("count", onPaper, saga.UndoLocally(onPaper)),
		saga.Invoke("create-ticket", Kitchen, createTicket))
	return sagatest.Exploration[ledger, CreateOrder]{
		Saga: d, Data: CreateOrder{OrderID: "7", Total: 60}, World: newLedger,
		Local: []sagatest.Override[ledger]{sagatest.Local("create", set("PENDING"), set("REJECTED")),
			sagatest.Local("count", func(w *ledger, d *CreateOrder) error { w.paid += d.Total; return nil },
				func(w *ledger, d *CreateOrder) error { w.paid -= d.Total; return nil })},
		Participants: []sagatest.Model[ledger]{
			sagatest.Handle(Customers, func(w *ledger, c ReserveCredit) command.Answer { return reserve(&w.world, c) }),
			sagatest.Handle(Customers, func(w *ledger, c ReleaseCredit) command.Answer { return release(&w.world, c) }),
			sagatest.Handle(Kitchen, func(w *ledger, c CreateTicket) command.Answer { return ticket(&w.world, c) }),
		},
		Check: func(w *ledger, end sagatest.End[CreateOrder]) error {
			want := w.order == "PENDING " && w.paid == 60 && w.free == 40 && end.Data.Reason == "PENDING" && w.tickets["7"] == "created"
			if end.State == machine.Compensated {
				want = w.order == "PENDING REJECTED " && w.paid == 0 && w.free == 100 && end.Data.Reason == "REJECTED" && w.tickets["7"] == ""
			}
			if !want {
				return errors.New("order " + w.order)
			}
			return nil
		},
		Deviations: 3,
	}
}

// What local steps and participants have done to a world is forgotten with their transactions.
func TestExploreWithoutTheStepsDatabase(t *testing.T) {
	t.Parallel()
	if r := sagatest.Explore(t, onLedger()); r.Histories < 1000 {
		t.Errorf("tried %v", r)
	}
}

func TestExploreChildrenAndEvents(t *testing.T) {
	t.Parallel()
	parent, child := family()
	e := sagatest.Exploration[world, CreateOrder]{
		Saga: parent, Children: []saga.AnyDefinition{child}, Data: CreateOrder{OrderID: "7", Total: 60}, World: newWorld,
		Events: []sagatest.Event{sagatest.Happens(Orders, "7", OrderPaid{})},
		Participants: []sagatest.Model[world]{sagatest.Handle(Customers, reserve, CreditLimitExceeded{}), sagatest.Handle(Customers, release),
			sagatest.Handle(Kitchen, ticket)},
		Check: func(w *world, end sagatest.End[CreateOrder]) error {
			if done := end.State == machine.Completed; done != (w.free == 40) || done != (w.tickets["7"] == "created") || end.Data.Reason != "paid" {
				return errors.New("half done")
			}
			return nil
		},
	}
	if r := sagatest.Explore(t, e); r.Histories < 100 {
		t.Errorf("tried %v", r)
	}
	e.Events = nil
	if _, v, err := e.Search(); err != nil || v == nil || !strings.Contains(v.String(), "waits for ever at paid") {
		t.Errorf("without the event: %v, %v", v, err)
	}
}

// An event that never comes is tried where the saga can do without it.
func TestExploreWithoutAnEvent(t *testing.T) {
	t.Parallel()
	e := sagatest.Exploration[world, CreateOrder]{
		Saga: saga.Define("s", saga.Invoke("ticket", Kitchen, createTicket, saga.UndoBy(cancelTicket)),
			saga.AwaitEvent("paid", Orders, func(event.Of[OrderPaid]) string { return "saga-1" }, func(d *CreateOrder, _ event.Of[OrderPaid]) { d.Reason = "paid" }).Within(time.Minute)),
		World: newWorld, Events: []sagatest.Event{sagatest.Happens(Orders, "7", OrderPaid{})},
		Participants: []sagatest.Model[world]{sagatest.Handle(Kitchen, ticket), sagatest.Handle(Kitchen, cancel)},
		Check: func(w *world, end sagatest.End[CreateOrder]) error {
			if (end.State == machine.Completed) != (len(w.tickets) == 1) {
				return errors.New("half done")
			}
			return nil
		},
	}
	sagatest.Explore(t, e)
	e.Check = func(w *world, end sagatest.End[CreateOrder]) error {
		if end.State == machine.Compensated && strings.Contains(end.Error, "timed out") {
			return errors.New("not paid")
		}
		return nil
	}
	e.Deviations = 1
	if _, v, err := e.Search(); err != nil || v == nil || !strings.Contains(v.String(), "is late") && !strings.Contains(v.String(), "never comes") {
		t.Errorf("found %v, %v", v, err)
	}
}

// Members of groups go on side by side, and overtake one another.
func TestExploreGroups(t *testing.T) {
	t.Parallel()
	e := exploration()
	all := steps()
	e.Saga = saga.Define("create-order", all[0], saga.Parallel("both", all[1], all[2]), all[3], all[4])
	sagatest.Explore(t, e)
	e.Saga = saga.Define("create-order", all[0], saga.FirstOf("one", all[1], all[2]))
	e.Check = func(w *world, end sagatest.End[CreateOrder]) error {
		n := len(w.tickets) + len(w.reserved)
		if end.State == machine.Completed && n != 1 || end.State == machine.Compensated && n != 0 {
			return errors.New("not one of them")
		}
		return nil
	}
	sagatest.Explore(t, e)
}

func TestExploreMayBeStuck(t *testing.T) {
	t.Parallel()
	e := exploration()
	all := steps()
	all[1], all[3] = all[3], all[1]
	e.Saga = saga.Define("create-order", all...)
	e.Check = func(w *world, end sagatest.End[CreateOrder]) error { return nil }
	if _, v, err := e.Search(); err != nil || v == nil || !strings.Contains(v.Err.Error(), "stuck") {
		t.Errorf("found %v, %v", v, err)
	}
	e.MayBeStuck = true
	if _, v, err := e.Search(); err != nil || v != nil {
		t.Errorf("found %v, %v", v, err)
	}
}

func TestExploreSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	n := 0
	for want, change := range map[string]func(e *sagatest.Exploration[ledger, CreateOrder]){
		"the field Saga is missing":  func(e *sagatest.Exploration[ledger, CreateOrder]) { e.Saga = nil },
		"the field World is missing": func(e *sagatest.Exploration[ledger, CreateOrder]) { e.World = nil },
		"the field Check is missing": func(e *sagatest.Exploration[ledger, CreateOrder]) { e.Check = nil },
		"the field Deviations is -1": func(e *sagatest.Exploration[ledger, CreateOrder]) { e.Deviations = -1 },
		"the field Limit is -1":      func(e *sagatest.Exploration[ledger, CreateOrder]) { e.Limit = -1 },
		"more than 5 histories":      func(e *sagatest.Exploration[ledger, CreateOrder]) { e.Limit = 5 },
		`local step "count" works in transactions of type *sagatest_test.paper: say what it does`: func(e *sagatest.Exploration[ledger, CreateOrder]) { e.Local = e.Local[:1] },
		`no saga has a step "credit"`: func(e *sagatest.Exploration[ledger, CreateOrder]) {
			e.Local = append(e.Local, sagatest.Local("credit", set("x"), nil))
		},
		`no model of participant "kitchen" handles CreateTicket`: func(e *sagatest.Exploration[ledger, CreateOrder]) { e.Participants = e.Participants[:2] },
		"type CreateTicket of participant kitchen has two handlers": func(e *sagatest.Exploration[ledger, CreateOrder]) {
			e.Participants = append(e.Participants, e.Participants[2])
		},
		"model 1 of Participants is empty": func(e *sagatest.Exploration[ledger, CreateOrder]) { e.Participants[0] = sagatest.Model[ledger]{} },
		"depends on something else": func(e *sagatest.Exploration[ledger, CreateOrder]) {
			e.Check = func(*ledger, sagatest.End[CreateOrder]) error {
				if n++; n == 1 {
					return errors.New("today")
				}
				return nil
			}
		},
	} {
		e := onLedger()
		change(&e)
		if _, v, err := e.Search(); v != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %v; want %s", v, err, want)
		}
	}
}

// Explore fails the test that calls it, with the history.
func TestExploreFailsTheTest(t *testing.T) {
	t.Parallel()
	got := failures(t, func(t testing.TB) {
		e := exploration()
		e.Check = func(*world, sagatest.End[CreateOrder]) error { return errors.New("never good") }
		sagatest.Explore(t, e)
	})
	if !strings.Contains(got, "never good") || !strings.Contains(got, "   2  command ReserveCredit") || !strings.Contains(got, "found after 1 histories") {
		t.Errorf("the test fails with %q", got)
	}
	got = failures(t, func(t testing.TB) { sagatest.Explore(t, sagatest.Exploration[world, CreateOrder]{}) })
	if !strings.Contains(got, "explore saga: the field Saga is missing") {
		t.Errorf("the test fails with %q", got)
	}
}
