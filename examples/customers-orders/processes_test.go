package customersorders

import (
	"fmt"
	"strings"
	"testing"

	"tidings.example/internal/connect"
)

// TestFourProcesses runs each process as a system of its own, with its own
// connection to the broker, and takes them away one by one.
func TestFourProcesses(t *testing.T) {
	t.Parallel()
	s := newServers(t)
	addrs := map[string]string{Gateway: "127.0.0.1:0", Orders: freeAddr(t), Customers: freeAddr(t), History: freeAddr(t)}
	run := func(name string) *running {
		all := map[string]*connect.Database{}
		if name != Gateway {
			all = databases(s, name)
		}
		return start(t, Config{Processes: []string{name}, Databases: all, Broker: s.broker(), Addrs: addrs})
	}
	orders, customers, history := run(Orders), run(Customers), run(History)
	r := run(Gateway)
	ada := r.createCustomer("Ada", "100")
	r.waitState(r.createOrder(ada, "60"), "APPROVED")

	if a := r.request("GET", "/metrics", ""); strings.Count(string(a.body), "\n") < 50 ||
		!strings.Contains(string(a.body), `process="orders"`) || !strings.Contains(string(a.body), "go_goroutines ") {
		t.Errorf("the gateway's metrics do not show those of the services: %d %.500s", a.status, a.body)
	}

	// Orders are taken while customers and history are away, and decided later.
	customers.stop()
	history.stop()
	waiting := r.createOrder(ada, "40")
	wantProblem(t, r.request("GET", "/customers", ""), 503, "")
	wantProblem(t, r.request("GET", "/customers/"+ada+"/orderhistory", ""), 503, "")
	waitFor(t, func() error {
		a := r.request("GET", "/readyz", "")
		if a.status != 503 || !strings.Contains(string(a.body), "service customers") || !strings.Contains(string(a.body), "service history") {
			return fmt.Errorf("readiness is %d %s", a.status, a.body)
		}
		return nil
	})
	if o := r.get("/orders/" + waiting); o["orderState"] != "PENDING" {
		t.Errorf("the order is %v while nobody can decide", o)
	}
	run(Customers)
	r.waitState(waiting, "APPROVED")
	run(History)
	waitFor(t, func() error {
		if all := r.allOrders("/customers/" + ada + "/orderhistory"); len(all) != 2 || all[0].OrderState != "APPROVED" {
			return fmt.Errorf("history is %v", all)
		}
		return nil
	})

	orders.stop()
	waitFor(t, func() error {
		// 502 as long as the gateway has a connection from before, on which nobody knows what happened.
		switch a := r.request("POST", "/orders", `{"customerId":"c","orderTotal":{"amount":1}}`); a.status {
		case 502:
			return fmt.Errorf("the answer is %s", a.body)
		default:
			wantProblem(t, a, 503, "")
			return nil
		}
	})
	run(Orders)
	r.waitState(r.createOrder(ada, "1"), "CANCELLED")
}

func TestConfig(t *testing.T) {
	t.Parallel()
	broker := &connect.Broker{}
	for want, cfg := range map[string]Config{
		"the broker is missing":                 {},
		"no process is named":                   {Processes: []string{}},
		`no process "billing"`:                  {Processes: []string{"billing"}, Broker: broker},
		"orders is named twice":                 {Processes: []string{Orders, Orders}, Broker: broker, Databases: map[string]*connect.Database{Orders: {}}},
		"the database of orders is missing":     {Broker: broker},
		`an address for "billing"`:              {Processes: []string{Gateway}, Broker: broker, Addrs: map[string]string{"billing": ":1"}},
		`the address of gateway is "localhost"`: {Processes: []string{Gateway}, Broker: broker, Addrs: map[string]string{Gateway: "localhost"}},
		"prefix":                                {Processes: []string{Gateway}, Broker: broker, Prefix: "a b"},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one with %q", err, want)
		}
	}
}

// TestOccupiedPort: the whole system ends, and says why.
func TestOccupiedPort(t *testing.T) {
	t.Parallel()
	r := startAll(t)
	s := newServers(t)
	second, err := New(Config{Broker: s.broker(), Databases: databases(s, Services...), Addrs: map[string]string{Gateway: r.Addr(Gateway)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); err == nil || !strings.Contains(err.Error(), r.Addr(Gateway)) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Run ended with %v, want one line with %s", err, r.Addr(Gateway))
	}
}
