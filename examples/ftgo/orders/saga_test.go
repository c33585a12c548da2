package orders

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"tidings.example/command"
	"tidings.example/examples/ftgo/messages"
	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/sqldb"
	"tidings.example/saga/machine"
	"tidings.example/saga/sagatest"
)

// TestDrawing: the README shows the saga as it is.
func TestDrawing(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var drawn strings.Builder
	if err := machine.Text(&drawn, defineCreateOrder(store{sqldb.DB{}}, messages.Names{}).Plan()); err != nil {
		t.Fatal(err)
	}
	if shown := strings.ReplaceAll(string(readme), "\n    ", "\n"); !strings.Contains(shown, drawn.String()) {
		t.Errorf("the README does not show\n%s", drawn.String())
	}
}

// world is the tables of all three services, for one order.
type world struct {
	limits map[string]money.Money // by consumer
	menus  map[string]money.Money // the price of the one dish, by restaurant
	state  State
	reason Reason
	total  *money.Money
}

func newWorld() *world {
	return &world{limits: map[string]money.Money{"ada": 20_00}, menus: map[string]money.Money{"ajanta": 10_00}}
}

func (w *world) settle(state State, total *money.Money, reason Reason) error {
	if w.state != Pending {
		return fmt.Errorf("an order is settled that is %q", w.state)
	}
	w.state, w.total, w.reason = state, total, reason
	return nil
}

func (w *world) validateConsumer(c messages.ValidateConsumerInfo) command.Answer {
	limit, ok := w.limits[c.ConsumerID]
	if !ok {
		return command.Fail(messages.ConsumerNotFound{ConsumerID: c.ConsumerID})
	}
	return command.Succeed(messages.ConsumerValidated{ConsumerID: c.ConsumerID, SpendingLimit: limit})
}

func (w *world) validateDetails(c messages.ValidateOrderDetails) command.Answer {
	price, ok := w.menus[c.RestaurantID]
	if !ok {
		return command.Fail(messages.RestaurantNotFound{RestaurantID: c.RestaurantID})
	}
	return command.Succeed(messages.OrderDetailsValidated{RestaurantID: c.RestaurantID, OrderTotal: price * money.Money(c.LineItems[0].Quantity)})
}

func reject(w *world, d *CreateOrder) error { return w.settle(Rejected, d.OrderTotal, d.reason()) }

// check: VALIDATED if and only if all is right, and REJECTED with a reason that is true otherwise.
func check(w *world, end sagatest.End[CreateOrder]) error {
	d := &end.Data
	exceeds := d.SpendingLimit != nil && d.OrderTotal != nil && *d.OrderTotal > *d.SpendingLimit
	switch {
	case end.State == machine.Completed && w.state == Validated && w.reason == "" && !exceeds &&
		d.Consumer == "" && d.Restaurant == "" && w.total != nil && *w.total == *d.OrderTotal,
		end.State == machine.Completed && w.state == Rejected && w.reason == SpendingLimitExceeded && exceeds:
		return nil
	case end.State == machine.Compensated && w.state == Rejected && w.reason != "":
		if exceeds != (w.reason == SpendingLimitExceeded) || d.Consumer != "" && w.reason != d.Consumer {
			return fmt.Errorf("the order is rejected with %s, and the saga knows %+v", w.reason, d)
		}
		return nil
	}
	return fmt.Errorf("the saga is %s (%s), and the order %q with reason %q", end.State, end.Error, w.state, w.reason)
}

// TestWhateverGoesWrong tries every way in which two things can go wrong, for orders that are
// right, too expensive, and of nobody.
func TestWhateverGoesWrong(t *testing.T) {
	t.Parallel()
	names := messages.Names{}
	for name, c := range map[string]struct {
		consumer, restaurant string
		quantity             int
		state                State
		reason               Reason
	}{
		"valid":           {"ada", "ajanta", 2, Validated, ""},
		"expensive":       {"ada", "ajanta", 3, Rejected, SpendingLimitExceeded},
		"of nobody":       {"nobody", "ajanta", 3, Rejected, ConsumerNotFound},
		"at no place":     {"ada", "nowhere", 1, Rejected, RestaurantNotFound},
		"wrong in itself": {"nobody", "nowhere", 1, Rejected, ConsumerNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			quiet := true // the first history is the one in which nothing goes wrong
			result := sagatest.Explore(t, sagatest.Exploration[world, CreateOrder]{
				Saga: defineCreateOrder(store{sqldb.DB{}}, names), World: newWorld,
				Data: CreateOrder{OrderID: "7", ConsumerID: c.consumer, RestaurantID: c.restaurant,
					LineItems: []messages.LineItem{{MenuItemID: "1", Quantity: c.quantity}}},
				Participants: []sagatest.Model[world]{
					sagatest.Handle(names.Consumers(), (*world).validateConsumer, messages.ConsumerNotFound{}),
					sagatest.Handle(names.Restaurants(), (*world).validateDetails,
						messages.RestaurantNotFound{}, messages.MenuItemNotFound{}, messages.OrderTotalTooLarge{}),
				},
				Local: []sagatest.Override[world]{
					sagatest.Local("create", func(w *world, _ *CreateOrder) error { w.state = Pending; return nil },
						reject),
					sagatest.Local("approve", func(w *world, d *CreateOrder) error { return w.settle(Validated, d.OrderTotal, "") }, nil),
					sagatest.Local("reject", reject, nil),
				},
				Check: func(w *world, end sagatest.End[CreateOrder]) error {
					if quiet && (w.state != c.state || w.reason != c.reason) {
						return fmt.Errorf("the order is %s %s, want %s %s", w.state, w.reason, c.state, c.reason)
					}
					quiet = false
					return check(w, end)
				},
			})
			if result.Histories < 100 {
				t.Errorf("tried %v: that proves little", result)
			}
		})
	}
}
