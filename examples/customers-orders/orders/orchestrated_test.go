package orders

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"tidings.example/command"
	"tidings.example/examples/customers-orders/commands"
	"tidings.example/examples/customers-orders/events"
	"tidings.example/examples/shared/money"
	"tidings.example/saga/machine"
	"tidings.example/saga/sagatest"
)

// world is the tables of both services, for one order: the order's state, and the
// customer's credit.
type world struct {
	state     events.State
	reason    events.Reason
	available money.Money
	reserved  money.Money
}

func (w *world) reserve(c commands.ReserveCredit) command.Answer {
	if c.OrderTotal > w.available {
		return command.Fail(commands.CreditRefused{Reason: events.CreditLimitReached})
	}
	w.available, w.reserved = w.available-c.OrderTotal, w.reserved+c.OrderTotal
	return command.Done()
}

func (w *world) release(commands.ReleaseCredit) command.Answer {
	w.available, w.reserved = w.available+w.reserved, 0
	return command.Done()
}

func (w *world) settle(state events.State, reason events.Reason) error {
	if w.state != events.Pending {
		return fmt.Errorf("an order is settled that is %q", w.state)
	}
	w.state, w.reason = state, reason
	return nil
}

// TestWhateverGoesWrong tries every way in which two things can go wrong: an order is
// APPROVED with its credit reserved, or CANCELLED with a reason, and nothing is.
func TestWhateverGoesWrong(t *testing.T) {
	t.Parallel()
	const limit = money.Money(100_00)
	for _, total := range []money.Money{60_00, 160_00} {
		t.Run(total.String(), func(t *testing.T) {
			t.Parallel()
			result := sagatest.Explore(t, sagatest.Exploration[world, orderSaga]{
				Saga: define(&ordering{}, "").create, Data: orderSaga{OrderID: "7", CustomerID: "ada", Total: total},
				World: func() *world { return &world{available: limit} },
				Participants: []sagatest.Model[world]{
					sagatest.Handle(commands.Customers(""), (*world).reserve, commands.CreditRefused{Reason: events.UnknownCustomer}),
					sagatest.Handle(commands.Customers(""), (*world).release),
				},
				Local: []sagatest.Override[world]{
					sagatest.Local("create", func(w *world, _ *orderSaga) error { w.state = events.Pending; return nil },
						func(w *world, d *orderSaga) error { return w.settle(events.Cancelled, reasonOf(d)) }),
					sagatest.Local("approve", func(w *world, _ *orderSaga) error { return w.settle(events.Approved, "") }, nil),
				},
				Check: func(w *world, end sagatest.End[orderSaga]) error {
					approved := w.state == events.Approved && w.reserved == total && w.available == limit-total
					cancelled := w.state == events.Cancelled && w.reserved == 0 && w.available == limit && w.reason != ""
					if end.State == machine.Completed && approved || end.State == machine.Compensated && cancelled {
						return nil
					}
					return fmt.Errorf("the saga is %s (%s), and the services have %+v", end.State, end.Error, *w)
				},
			})
			if result.Histories < 30 {
				t.Errorf("tried %v: that proves little", result)
			}
		})
	}
}

// TestDrawing: the README shows the sagas as they are.
func TestDrawing(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	d := define(&ordering{}, "")
	for _, plan := range []*machine.Plan{d.create.Plan(), d.cancel.Plan()} {
		var drawn strings.Builder
		if err := machine.Text(&drawn, plan); err != nil {
			t.Fatal(err)
		}
		if shown := strings.ReplaceAll(string(readme), "\n    ", "\n"); !strings.Contains(shown, drawn.String()) {
			t.Errorf("the README does not show\n%s", drawn.String())
		}
	}
}
