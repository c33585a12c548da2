package sagatest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tidings.example/command"
	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/saga/sagatest"
	"tidings.example/store/memory"
)

var (
	Customers = command.Participant{Name: "customers", Channel: "customers.commands"}
	Kitchen   = command.Participant{Name: "kitchen", Channel: "kitchen.commands"}
	Cards     = command.Participant{Name: "cards", Channel: "cards.commands"}
)

type (
	ReserveCredit struct {
		OrderID string
		Total   int
	}
	ReleaseCredit       struct{ OrderID string }
	CreditLimitExceeded struct{}
	CreateTicket        struct{ OrderID string }
	CancelTicket        struct{ OrderID string }
	ChargeCard          struct{ OrderID string }
)

func (ReserveCredit) CommandType() string     { return "ReserveCredit" }
func (ReleaseCredit) CommandType() string     { return "ReleaseCredit" }
func (CreditLimitExceeded) ReplyType() string { return "CreditLimitExceeded" }
func (CreateTicket) CommandType() string      { return "CreateTicket" }
func (CancelTicket) CommandType() string      { return "CancelTicket" }
func (ChargeCard) CommandType() string        { return "ChargeCard" }

// CreateOrder is the data of the saga.
type CreateOrder struct {
	OrderID, Reason string
	Total           int
}

func reserveCredit(d *CreateOrder) ReserveCredit { return ReserveCredit{d.OrderID, d.Total} }
func releaseCredit(d *CreateOrder) ReleaseCredit { return ReleaseCredit{d.OrderID} }
func createTicket(d *CreateOrder) CreateTicket   { return CreateTicket{d.OrderID} }
func cancelTicket(d *CreateOrder) CancelTicket   { return CancelTicket{d.OrderID} }
func chargeCard(d *CreateOrder) ChargeCard       { return ChargeCard{d.OrderID} }

func create(ctx context.Context, tx *memory.Tx, d *CreateOrder) error {
	return tx.Put(ctx, "order", "PENDING")
}
func reject(ctx context.Context, tx *memory.Tx, d *CreateOrder) error {
	return tx.Put(ctx, "order", "REJECTED")
}
func approve(ctx context.Context, tx *memory.Tx, d *CreateOrder) error {
	return tx.Put(ctx, "order", "APPROVED")
}

// steps of a saga that is right.
func steps() []*saga.Step[CreateOrder] {
	return []*saga.Step[CreateOrder]{
		saga.Local("create", create, saga.UndoLocally(reject)),
		saga.Invoke("reserve-credit", Customers, reserveCredit, saga.UndoBy(releaseCredit)).Within(5 * time.Second),
		saga.Invoke("create-ticket", Kitchen, createTicket, saga.UndoBy(cancelTicket)).Within(5*time.Second).Retry(2, time.Second, time.Second),
		saga.Invoke("charge-card", Cards, chargeCard).AsPivot(),
		saga.Local("approve", approve),
	}
}

// world is what the participants know.
type world struct {
	reserved map[string]int
	free     int
	tickets  map[string]string
	charged  int
}

func newWorld() *world {
	return &world{reserved: map[string]int{}, free: 100, tickets: map[string]string{}}
}

// reserve, release and the others are participants that are right.
func reserve(w *world, c ReserveCredit) command.Answer {
	if c.Total > w.free {
		return command.Fail(CreditLimitExceeded{})
	}
	w.free -= c.Total
	w.reserved[c.OrderID] += c.Total
	return command.Done()
}

func release(w *world, c ReleaseCredit) command.Answer {
	w.free += w.reserved[c.OrderID]
	delete(w.reserved, c.OrderID)
	return command.Done()
}

func ticket(w *world, c CreateTicket) command.Answer {
	w.tickets[c.OrderID] += "created"
	return command.Done()
}

func cancel(w *world, c CancelTicket) command.Answer {
	delete(w.tickets, c.OrderID)
	return command.Done()
}

func charge(w *world, c ChargeCard) command.Answer {
	w.charged++
	return command.Done()
}

// check is the invariant: all or nothing.
func check(w *world, end sagatest.End[CreateOrder]) error {
	got := fmt.Sprintf("order %s, reserved %d, free %d, tickets %v, charged %d", end.DB.Get("order"), w.reserved["7"], w.free, w.tickets, w.charged)
	want := "order REJECTED, reserved 0, free 100, tickets map[], charged 0"
	if end.State == machine.Completed {
		want = "order APPROVED, reserved 60, free 40, tickets map[7:created], charged 1"
	}
	if got != want {
		return fmt.Errorf("the saga is %s, and %s", end.State, got)
	}
	return nil
}

func exploration() sagatest.Exploration[world, CreateOrder] {
	return sagatest.Exploration[world, CreateOrder]{
		Saga: saga.Define("create-order", steps()...), Data: CreateOrder{OrderID: "7", Total: 60}, World: newWorld, Check: check,
		Participants: []sagatest.Model[world]{
			sagatest.Handle(Customers, reserve, CreditLimitExceeded{}), sagatest.Handle(Customers, release),
			sagatest.Handle(Kitchen, ticket), sagatest.Handle(Kitchen, cancel), sagatest.Handle(Cards, charge),
		},
	}
}

func TestExploreFindsNothingInASagaThatIsRight(t *testing.T) {
	t.Parallel()
	e := exploration()
	first := sagatest.Explore(t, e)
	if first.Histories < 300 || len(first.ByDeviations) != 3 || first.ByDeviations[0] != 1 {
		t.Errorf("tried %v", first)
	}
	if second := sagatest.Explore(t, e); second.String() != first.String() {
		t.Errorf("tried %v, then %v", first, second)
	}
}

// find explores what must not be right, and returns the violation.
func find(t *testing.T, e sagatest.Exploration[world, CreateOrder], deviations int, history ...string) {
	t.Helper()
	result, v, err := e.Search()
	if err != nil || v == nil {
		t.Fatalf("found %v, %v, in %v", v, err, result)
	}
	t.Logf("%v\nafter %v", v, result)
	if v.Deviations != deviations {
		t.Errorf("%d things went wrong, and %d are enough", v.Deviations, deviations)
	}
	text := v.String()
	for _, want := range history {
		at := strings.Index(text, want)
		if at < 0 {
			t.Errorf("the report does not say %q, or not in this order", want)
			continue
		}
		text = text[at:]
	}
}

func TestExploreFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		plant      func(e *sagatest.Exploration[world, CreateOrder])
		deviations int
		history    []string
	}{
		"no compensation": {func(e *sagatest.Exploration[world, CreateOrder]) {
			all := steps()
			all[2] = saga.Invoke("create-ticket", Kitchen, createTicket)
			e.Saga = saga.Define("create-order", all...)
		}, 1, []string{"tickets map[7:created]", "! command ChargeCard", "refused for good", "end: the saga is compensated"}},
		"undo without do": {func(e *sagatest.Exploration[world, CreateOrder]) {
			e.Participants[1] = sagatest.Handle(Customers, func(w *world, c ReleaseCredit) command.Answer {
				w.free += 60
				delete(w.reserved, c.OrderID)
				return command.Done()
			})
		}, 2, []string{"free 160", "! command ReserveCredit", "refused for good", "! refusal CreditLimitExceeded", "is late", "5s pass", "timed out", "command ReleaseCredit"}},
		"a step that can be refused behind the pivot": {func(e *sagatest.Exploration[world, CreateOrder]) {
			all := steps()
			all[1], all[3] = all[3], all[1]
			e.Saga = saga.Define("create-order", all...)
		}, 1, []string{"stuck", "charge-card: step done", "! command ReserveCredit", "CreditLimitExceeded", "and the same 8 times more"}},
		"no pivot": {func(e *sagatest.Exploration[world, CreateOrder]) {
			all := steps()
			all[3] = saga.Invoke("charge-card", Cards, chargeCard)
			e.Saga = saga.Define("create-order", all...)
		}, 1, []string{"charged 1", "! local step approve is refused"}},
		"an undo that refuses what was not done": {func(e *sagatest.Exploration[world, CreateOrder]) {
			e.Participants[3] = sagatest.Handle(Kitchen, func(w *world, c CancelTicket) command.Answer {
				if w.tickets[c.OrderID] == "" {
					return command.Refuse("no such ticket")
				}
				delete(w.tickets, c.OrderID)
				return command.Done()
			})
		}, 2, []string{"stuck", "no such ticket"}},
		"an effect that is not the data's": {func(e *sagatest.Exploration[world, CreateOrder]) {
			e.Check = func(w *world, end sagatest.End[CreateOrder]) error {
				if end.State == machine.Compensated && end.Data.Reason == "" {
					return errors.New("nobody knows why")
				}
				return nil
			}
		}, 1, []string{"nobody knows why"}},
		"a panic of a model": {func(e *sagatest.Exploration[world, CreateOrder]) {
			e.Participants[1] = sagatest.Handle(Customers, func(w *world, c ReleaseCredit) command.Answer { panic("no") })
		}, 1, []string{"model of command ReleaseCredit", "panic: no"}},
		"a panic of a local step": {func(e *sagatest.Exploration[world, CreateOrder]) {
			all := steps()
			all[0] = saga.Local("create", create, saga.UndoLocally(func(context.Context, *memory.Tx, *CreateOrder) error { panic("no") }))
			e.Saga = saga.Define("create-order", all...)
		}, 1, []string{"compensation of local step create: panic: no"}},
		"a reply that is not there": {func(e *sagatest.Exploration[world, CreateOrder]) {
			e.Participants[4] = sagatest.Handle(Cards, func(*world, ChargeCard) command.Answer { return command.Later() })
		}, 0, []string{"waits for ever at charge-card"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := exploration()
			test.plant(&e)
			find(t, e, test.deviations, test.history...)
		})
	}
}
