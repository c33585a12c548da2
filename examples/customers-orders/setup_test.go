package customersorders

import (
	"fmt"
	"testing"

	"tidings.example/examples/shared/sampletest"
	"tidings.example/examples/shared/system"
)

// styles are the designs of the sample, by style. What is seen from outside is the same.
var styles = map[string]*system.Design{"choreography": Design, "orchestration": Orchestrated}

// running is the sample, started by a test.
type running struct{ *sampletest.Running }

func start(t *testing.T, d *system.Design, cfg Config, away ...string) *running {
	t.Helper()
	return &running{sampletest.Start(t, d, cfg, away...)}
}

// startAll runs the whole sample in one process, on servers of its own.
func startAll(t *testing.T, d *system.Design) *running {
	t.Helper()
	return &running{sampletest.StartAll(t, d)}
}

func (r *running) createCustomer(name, limit string) string {
	r.T.Helper()
	return r.Create("/customers", fmt.Sprintf(`{"name":%q,"creditLimit":{"amount":%s}}`, name, limit), "customerId")
}

func (r *running) createOrder(customer, total string) string {
	r.T.Helper()
	return r.Create("/orders", fmt.Sprintf(`{"customerId":%q,"orderTotal":{"amount":%s}}`, customer, total), "orderId")
}

// waitState waits until an order has a state.
func (r *running) waitState(order, state string) sampletest.Document {
	r.T.Helper()
	var o sampletest.Document
	sampletest.WaitFor(r.T, func() error {
		if o = r.Get("/orders/" + order); o["orderState"] != state {
			return fmt.Errorf("order is %v, want %s", o["orderState"], state)
		}
		return nil
	})
	return o
}

// waitAvailable waits until a customer has so much credit left.
func (r *running) waitAvailable(customer, amount string) {
	r.T.Helper()
	sampletest.WaitFor(r.T, func() error {
		if got := sampletest.AmountOf(r.Get("/customers/" + customer)["availableCredit"]); got != amount {
			return fmt.Errorf("available credit is %s, want %s", got, amount)
		}
		return nil
	})
}
