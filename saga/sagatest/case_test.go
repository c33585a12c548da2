package sagatest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"tidings.example/event"
	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/saga/sagatest"
	"tidings.example/store/memory"
)

// spy is a test that is expected to fail.
type spy struct {
	testing.TB
	failures []string
	cleanups []func()
}

func (s *spy) Helper()             {}
func (s *spy) Logf(string, ...any) {}
func (s *spy) Cleanup(f func())    { s.cleanups = append(s.cleanups, f) }
func (s *spy) Errorf(format string, args ...any) {
	s.failures = append(s.failures, fmt.Sprintf(format, args...))
}
func (s *spy) Fatalf(format string, args ...any) { s.Errorf(format, args...); runtime.Goexit() }

// failures runs a test to its end and returns how it failed.
func failures(t *testing.T, test func(t testing.TB)) string {
	s := &spy{TB: t}
	for _, part := range []func(){func() { test(s) }, func() {
		for _, f := range s.cleanups {
			f()
		}
	}} {
		ended := make(chan struct{})
		go func() { defer close(ended); part() }()
		<-ended
	}
	return strings.Join(s.failures, "\n")
}

func begin(t testing.TB) *sagatest.Case[CreateOrder] {
	return sagatest.Start(t, saga.Define("create-order", steps()...), CreateOrder{OrderID: "7", Total: 60})
}

var asked = ReserveCredit{OrderID: "7", Total: 60}

func TestCaseReportsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do   func(t testing.TB)
		want string
	}{
		"another command":     {func(t testing.TB) { begin(t).ExpectCommand(Customers, ReserveCredit{OrderID: "8"}) }, `command ReserveCredit {"OrderID":"7","Total":60} to customers` + "\nwant:\n  command ReserveCredit {\"OrderID\":\"8\""},
		"another participant": {func(t testing.TB) { begin(t).ExpectCommand(Kitchen, asked) }, "want:\n  command ReserveCredit {\"OrderID\":\"7\",\"Total\":60} to kitchen"},
		"the command comes once": {func(t testing.TB) {
			c := begin(t)
			c.ExpectCommand(Customers, asked)
			c.ExpectCommand(Customers, asked)
		}, "the saga has sent nothing"},
		"nobody expects it":   {func(t testing.TB) { begin(t) }, "not expected at the end of the test"},
		"nothing is expected": {func(t testing.TB) { begin(t).ExpectNothing() }, "what was not expected"},
		"it has not ended": {func(t testing.TB) {
			begin(t).ExpectCommand(Customers, asked).Refuse(CreditLimitExceeded{}).ExpectEnd(machine.Completed)
		}, "the saga is compensated"},
		"a command is left over": {func(t testing.TB) { begin(t).ExpectCommand(Customers, asked).Done().ExpectEnd(machine.Running) }, "not expected before its end"},
		"the start fails": {func(t testing.TB) {
			no := func(context.Context, *memory.Tx, *CreateOrder) error { return errors.New("no room") }
			sagatest.Start(t, saga.Define("s", saga.Local("create", no)), CreateOrder{})
		}, "no room"},
		"the definition is wrong": {func(t testing.TB) { sagatest.Start(t, saga.Define[CreateOrder]("s"), CreateOrder{}) }, "sagatest: saga"},
		"another transaction": {func(t testing.TB) {
			sagatest.Start(t, saga.Define("s", saga.Local("create", onPaper)), CreateOrder{})
		}, `local step "create" works in transactions of type *sagatest_test.paper, not *memory.Tx`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := failures(t, test.do); !strings.Contains(got, test.want) {
				t.Errorf("the test fails with %q, want %q", got, test.want)
			}
		})
	}
}

// paper is a transaction of the user's own.
type paper struct{ lines []string }

func onPaper(_ context.Context, tx *paper, d *CreateOrder) error {
	tx.lines = append(tx.lines, d.OrderID)
	return nil
}

func TestLocalStepsInTheUsersTransaction(t *testing.T) {
	t.Parallel()
	p := &paper{}
	refuse := func(context.Context, *paper, *CreateOrder) error { return saga.Refuse(errors.New("closed")) }
	d := saga.Define("s", saga.Local("first", onPaper, saga.UndoLocally(onPaper)), saga.Invoke("credit", Customers, reserveCredit), saga.Local("second", refuse))
	s := sagatest.Start(t, d, CreateOrder{OrderID: "7", Total: 60}, sagatest.In(p), sagatest.ID("7"))
	s.ExpectCommand(Customers, asked).Done().ExpectEnd(machine.Compensated)
	if strings.Join(p.lines, " ") != "7 7" || !strings.Contains(s.Journal(), "closed") {
		t.Errorf("on paper: %q; the journal:\n%s", p.lines, s.Journal())
	}
}

func TestRetriesAndRepeatedReplies(t *testing.T) {
	t.Parallel()
	s := begin(t)
	s.ExpectCommand(Customers, asked).Done()
	first := s.ExpectCommand(Kitchen, CreateTicket{"7"})
	first.Fail(CreditLimitExceeded{}).ExpectNothing()
	s.TimePasses(time.Second)
	s.ExpectCommand(Kitchen, CreateTicket{"7"}).Done()
	first.Done()
	charge := s.ExpectCommand(Cards, ChargeCard{"7"})
	if id := charge.Message().Headers["sagaid"]; id != "saga-1" || s.State() != machine.Running {
		t.Errorf("the command is for saga %q, which is %s", id, s.State())
	}
	charge.Done()
	charge.Done()
	s.ExpectEnd(machine.Completed)
	if s.Data().OrderID != "7" || s.DB().Get("order") != "APPROVED" || !strings.Contains(s.Journal(), "late reply") && !strings.Contains(s.Journal(), "repeated reply") {
		t.Errorf("data %+v; the journal:\n%s", s.Data(), s.Journal())
	}
}

var Orders = event.Aggregate{Name: "Order", Channel: "orders"}

type OrderPaid struct{}

func (OrderPaid) EventType() string { return "OrderPaid" }

// family is a saga that waits for an event and starts another one.
func family() (parent, child *saga.Definition[CreateOrder]) {
	child = saga.Define("child", saga.Invoke("credit", Customers, reserveCredit, saga.UndoBy(releaseCredit)), saga.Local("approve", approve))
	return saga.Define("parent",
		saga.AwaitEvent("paid", Orders, func(event.Of[OrderPaid]) string { return "saga-1" }, func(d *CreateOrder, e event.Of[OrderPaid]) { d.Reason = "paid" }),
		saga.Sub("sub", child, func(d *CreateOrder) CreateOrder { return *d }),
		saga.Invoke("ticket", Kitchen, createTicket)), child
}

func TestChildrenAndEvents(t *testing.T) {
	t.Parallel()
	parent, child := family()
	s := sagatest.Start(t, parent, CreateOrder{OrderID: "7", Total: 60}, sagatest.Children(child),
		sagatest.Given(func(ctx context.Context, tx *memory.Tx) error { return tx.Put(ctx, "order", "PENDING") }))
	s.ExpectNothing()
	s.Event(Orders, "7", OrderPaid{})
	s.ExpectCommand(Customers, asked).Done()
	if s.DB().Get("order") != "APPROVED" || s.Data().Reason != "paid" {
		t.Errorf("order %s, data %+v", s.DB().Get("order"), s.Data())
	}
	s.ExpectCommand(Kitchen, CreateTicket{"7"}).Refuse(CreditLimitExceeded{})
	s.ExpectCommand(Customers, ReleaseCredit{"7"}).Done()
	s.ExpectEnd(machine.Compensated)
}
