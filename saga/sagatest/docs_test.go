package sagatest_test

import (
	"fmt"
	"testing"
	"time"

	"tidings.example/command"
	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/saga/sagatest"
)

// What follows is in docs/testing-sagas.md.

var createOrder = saga.Define("create-order",
	saga.Local("create", create, saga.UndoLocally(reject)),
	saga.Invoke("reserve-credit", Customers, reserveCredit, saga.UndoBy(releaseCredit)).Within(5*time.Second),
	saga.Invoke("create-ticket", Kitchen, createTicket).AsPivot(),
	saga.Local("approve", approve))

type Shop struct{ Free, Reserved, Tickets int }

func (w *Shop) reserve(c ReserveCredit) command.Answer {
	w.Free -= c.Total
	w.Reserved += c.Total
	return command.Done()
}
func (w *Shop) release(ReleaseCredit) command.Answer {
	w.Free += w.Reserved
	w.Reserved = 0
	return command.Done()
}
func (w *Shop) ticket(CreateTicket) command.Answer { w.Tickets++; return command.Done() }

func TestCreateOrderHolds(t *testing.T) {
	sagatest.Explore(t, sagatest.Exploration[Shop, CreateOrder]{
		Saga: createOrder, Data: CreateOrder{OrderID: "7", Total: 60}, World: func() *Shop { return &Shop{Free: 100} },
		Participants: []sagatest.Model[Shop]{sagatest.Handle(Customers, (*Shop).reserve, CreditLimitExceeded{}),
			sagatest.Handle(Customers, (*Shop).release), sagatest.Handle(Kitchen, (*Shop).ticket)},
		Check: func(w *Shop, end sagatest.End[CreateOrder]) error {
			if done := end.State == machine.Completed; done != (w.Free == 40) || done != (w.Tickets == 1) {
				return fmt.Errorf("%s with %+v", end.State, *w)
			}
			return nil
		}})
}
