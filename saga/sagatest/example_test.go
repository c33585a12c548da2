package sagatest_test

import (
	"testing"
	"time"

	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/saga/sagatest"
)

// A test of a saga, step by step: the test plays the participants.
func TestOrderIsRejectedWhenTheCreditLimitIsExceeded(t *testing.T) {
	t.Parallel()
	createOrder := saga.Define("create-order", steps()...)
	s := sagatest.Start(t, createOrder, CreateOrder{OrderID: "7", Total: 60})
	s.ExpectCommand(Customers, ReserveCredit{OrderID: "7", Total: 60}).Refuse(CreditLimitExceeded{})
	s.ExpectEnd(machine.Compensated)
	if got := s.DB().Get("order"); got != "REJECTED" {
		t.Errorf("the order is %s", got)
	}
}

// A participant that answers when the saga has given up.
func TestLateCustomers(t *testing.T) {
	t.Parallel()
	s := sagatest.Start(t, saga.Define("create-order", steps()...), CreateOrder{OrderID: "7", Total: 60})
	reserve := s.ExpectCommand(Customers, ReserveCredit{OrderID: "7", Total: 60})
	s.TimePasses(5 * time.Second)
	release := s.ExpectCommand(Customers, ReleaseCredit{OrderID: "7"})
	reserve.Done()
	release.Done()
	s.ExpectEnd(machine.Compensated)
}
