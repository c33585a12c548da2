package ftgo

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidings.example/examples/shared/sampletest"
	"tidings.example/internal/connect"
)

// apart runs each process of the sample as a system of its own, with its own
// connection to the broker.
type apart struct {
	t       *testing.T
	servers *sampletest.Servers
	addrs   map[string]string
}

func newApart(t *testing.T) *apart {
	t.Helper()
	addrs := map[string]string{Gateway: "127.0.0.1:0"}
	for _, name := range Design.ServiceNames() {
		addrs[name] = sampletest.FreeAddr(t)
	}
	return &apart{t, sampletest.NewServers(t), addrs}
}

func (a *apart) run(name string, away ...string) *running {
	a.t.Helper()
	var all map[string]*connect.Database
	if name != Gateway {
		all = a.servers.Databases(name)
	}
	return start(a.t, Config{Processes: []string{name}, Databases: all, Broker: a.servers.Broker(), Addrs: a.addrs}, away...)
}

// TestOrdersAreTakenWhileTheOthersAreAway: both other services are away when orders are
// placed, and Order Service as well when one of them comes back.
func TestOrdersAreTakenWhileTheOthersAreAway(t *testing.T) {
	t.Parallel()
	a := newApart(t)
	orders, consumers, restaurants, r := a.run(OrderService), a.run(ConsumerService), a.run(RestaurantService), a.run(Gateway)
	ada, ajanta := r.createConsumer("30"), r.createRestaurant()
	r.wantSettled(r.createOrder(ada, ajanta, "vindaloo", 2), "VALIDATED <nil> 24.68")

	consumers.Stop()
	restaurants.Stop()
	waiting := map[string]string{
		r.createOrder(ada, ajanta, "vindaloo", 2):      "VALIDATED <nil> 24.68",
		r.createOrder(ada, ajanta, "vindaloo", 3):      "REJECTED SPENDING_LIMIT_EXCEEDED 37.02",
		r.createOrder("nobody", ajanta, "vindaloo", 1): "REJECTED CONSUMER_NOT_FOUND 12.34",
		r.createOrder(ada, "nowhere", "vindaloo", 1):   "REJECTED RESTAURANT_NOT_FOUND <nil>",
	}
	stillPending := func(when string) {
		t.Helper()
		for id := range waiting {
			if got := endOf(r.Get("/orders/" + id)); got != "PENDING <nil> <nil>" {
				t.Errorf("%s an order is %s", when, got)
			}
		}
	}
	stillPending("while both are away")
	sampletest.WantProblem(t, r.Request("GET", "/consumers", ""), 503, "")
	sampletest.WaitFor(t, func() error {
		answer := r.Request("GET", "/readyz", "")
		if answer.Status != 503 || !strings.Contains(string(answer.Body), "service consumer-service") || !strings.Contains(string(answer.Body), "service restaurant-service") {
			return fmt.Errorf("readiness is %d %s", answer.Status, answer.Body)
		}
		return nil
	})

	orders.Stop()
	a.run(ConsumerService) // replies to an orchestrator that is away
	a.run(OrderService)
	sampletest.WaitFor(t, func() error {
		if got := r.Request("GET", "/orders", ""); got.Status != 200 {
			return fmt.Errorf("order service answers %d", got.Status)
		}
		return nil
	})
	stillPending("while one is away")
	a.run(RestaurantService)
	for id, want := range waiting {
		r.wantSettled(id, want)
	}
}

// TestAnyOrderOfStart: whichever process is there first, the others find what they need.
func TestAnyOrderOfStart(t *testing.T) {
	t.Parallel()
	for _, order := range [][]string{
		{Gateway, RestaurantService, ConsumerService, OrderService},
		{OrderService, Gateway, ConsumerService, RestaurantService},
		{ConsumerService, OrderService, RestaurantService, Gateway},
	} {
		t.Run(strings.Join(order, " "), func(t *testing.T) {
			t.Parallel()
			a := newApart(t)
			var gateway *running
			for i, name := range order {
				if one := a.run(name, slices.DeleteFunc(slices.Clone(order[i+1:]), func(s string) bool { return s == Gateway })...); name == Gateway {
					gateway = one
				}
			}
			sampletest.WaitFor(t, func() error {
				if answer := gateway.Request("GET", "/readyz", ""); answer.Status != 200 {
					return fmt.Errorf("readiness is %d %s", answer.Status, answer.Body)
				}
				return nil
			})
			gateway.wantSettled(gateway.createOrder(gateway.createConsumer("100"), gateway.createRestaurant(), "naan", 4), "VALIDATED <nil> 10")
		})
	}
}

// TestOneTransaction: with the order, the saga and both commands are stored, and nothing where the order is not.
func TestOneTransaction(t *testing.T) {
	t.Parallel()
	s := sampletest.NewServers(t)
	all := s.Databases(OrderService)
	r := start(t, Config{Processes: []string{OrderService, Gateway}, WithoutRelays: true, Broker: s.Broker(), Databases: all,
		Addrs: map[string]string{Gateway: "127.0.0.1:0", ConsumerService: sampletest.FreeAddr(t), RestaurantService: sampletest.FreeAddr(t)}},
		ConsumerService, RestaurantService)
	counts := func() [3]int64 {
		t.Helper()
		var c [3]int64
		if err := all[OrderService].SQL.QueryRowContext(t.Context(), "SELECT count(*) FROM orders").Scan(&c[0]); err != nil {
			t.Fatal(err)
		}
		sagas, err := all[OrderService].Admin.CountSagas(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range sagas {
			c[1] += one.Count
		}
		backlog, err := all[OrderService].Admin.Backlog(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c[2] = backlog.Rows
		return c
	}
	r.createOrder("c", "r", "1", 1)
	if got := counts(); got != [3]int64{1, 1, 2} {
		t.Errorf("orders, sagas and messages: %v", got)
	}
	if _, err := all[OrderService].SQL.ExecContext(t.Context(), "CREATE TRIGGER full BEFORE INSERT ON tidings_outbox BEGIN SELECT RAISE(ABORT, 'full'); END"); err != nil {
		t.Fatal(err)
	}
	sampletest.WantProblem(t, r.Request("POST", "/orders", orderBody("c", "r", "1", 1)), 500, "")
	if got := counts(); got != [3]int64{1, 1, 2} {
		t.Errorf("after an order that failed, orders, sagas and messages: %v", got)
	}
}
