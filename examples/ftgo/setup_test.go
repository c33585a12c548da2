package ftgo

import (
	"fmt"
	"testing"

	"tidings.example/examples/shared/sampletest"
)

// running is the sample, started by a test.
type running struct{ *sampletest.Running }

func start(t *testing.T, cfg Config, away ...string) *running {
	t.Helper()
	return &running{sampletest.Start(t, Design, cfg, away...)}
}

// startAll runs the whole sample in one process, on servers of its own.
func startAll(t *testing.T) *running {
	t.Helper()
	return &running{sampletest.StartAll(t, Design)}
}

func (r *running) createConsumer(limit string) string {
	r.T.Helper()
	return r.Create("/consumers", fmt.Sprintf(`{"name":{"firstName":"Ada","lastName":"Lovelace"},"spendingLimit":{"amount":%s}}`, limit), "consumerId")
}

// createRestaurant creates one that offers vindaloo for 12.34 and naan for 2.50.
func (r *running) createRestaurant() string {
	r.T.Helper()
	return r.Create("/restaurants", `{"name":"Ajanta","address":"1 Main Street","menu":{"menuItems":[`+
		`{"id":"vindaloo","name":"Vindaloo","price":{"amount":12.34}},{"id":"naan","name":"Naan","price":{"amount":"2.50"}}]}}`, "restaurantId")
}

func orderBody(consumer, restaurant, item string, quantity int) string {
	return fmt.Sprintf(`{"consumerId":%q,"restaurantId":%q,"lineItems":[{"menuItemId":%q,"quantity":%d}]}`, consumer, restaurant, item, quantity)
}

func (r *running) createOrder(consumer, restaurant, item string, quantity int) string {
	r.T.Helper()
	return r.Create("/orders", orderBody(consumer, restaurant, item, quantity), "orderId")
}

// settled waits until an order waits no more, and returns how it ended: "VALIDATED <nil> 12.34".
func (r *running) settled(order string) string {
	r.T.Helper()
	var end string
	sampletest.WaitFor(r.T, func() error {
		o := r.Get("/orders/" + order)
		if o["state"] == "PENDING" {
			return fmt.Errorf("order is %v", o)
		}
		end = endOf(o)
		return nil
	})
	return end
}

func endOf(o sampletest.Document) string {
	return fmt.Sprint(o["state"], " ", o["rejectionReason"], " ", sampletest.AmountOf(o["orderTotal"]))
}

func (r *running) wantSettled(order, want string) {
	r.T.Helper()
	if got := r.settled(order); got != want {
		r.T.Errorf("order is %s, want %s", got, want)
	}
}
