package customersorders

import (
	"fmt"
	"strings"
	"testing"

	"tidings.example/examples/shared/sampletest"
	"tidings.example/internal/connect"
)

// TestFourProcesses runs each process as a system of its own, with its own
// connection to the broker, and takes them away one by one.
func TestFourProcesses(t *testing.T) {
	t.Parallel()
	for style, design := range styles {
		t.Run(style, func(t *testing.T) {
			t.Parallel()
			s := sampletest.NewServers(t)
			addrs := map[string]string{Gateway: "127.0.0.1:0", Orders: sampletest.FreeAddr(t), Customers: sampletest.FreeAddr(t), History: sampletest.FreeAddr(t)}
			run := func(name string) *running {
				all := map[string]*connect.Database{}
				if name != Gateway {
					all = s.Databases(name)
				}
				return start(t, design, Config{Processes: []string{name}, Databases: all, Broker: s.Broker(), Addrs: addrs})
			}
			orders, customers, history := run(Orders), run(Customers), run(History)
			r := run(Gateway)
			ada := r.createCustomer("Ada", "100")
			r.waitState(r.createOrder(ada, "60"), "APPROVED")

			if a := r.Request("GET", "/metrics", ""); strings.Count(string(a.Body), "\n") < 50 ||
				!strings.Contains(string(a.Body), `process="orders"`) || !strings.Contains(string(a.Body), "go_goroutines ") {
				t.Errorf("the gateway's metrics do not show those of the services: %d %.500s", a.Status, a.Body)
			}

			// Orders are taken while customers and history are away, and decided later.
			customers.Stop()
			history.Stop()
			waiting := r.createOrder(ada, "40")
			sampletest.WantProblem(t, r.Request("GET", "/customers", ""), 503, "")
			sampletest.WantProblem(t, r.Request("GET", "/customers/"+ada+"/orderhistory", ""), 503, "")
			sampletest.WaitFor(t, func() error {
				a := r.Request("GET", "/readyz", "")
				if a.Status != 503 || !strings.Contains(string(a.Body), "service customers") || !strings.Contains(string(a.Body), "service history") {
					return fmt.Errorf("readiness is %d %s", a.Status, a.Body)
				}
				return nil
			})
			if o := r.Get("/orders/" + waiting); o["orderState"] != "PENDING" {
				t.Errorf("the order is %v while nobody can decide", o)
			}
			run(Customers)
			r.waitState(waiting, "APPROVED")
			run(History)
			sampletest.WaitFor(t, func() error {
				if all := r.allOrders("/customers/" + ada + "/orderhistory"); len(all) != 2 || all[0].OrderState != "APPROVED" {
					return fmt.Errorf("history is %v", all)
				}
				return nil
			})

			orders.Stop()
			sampletest.WaitFor(t, func() error {
				// 502 as long as the gateway has a connection from before, on which nobody knows what happened.
				switch a := r.Request("POST", "/orders", `{"customerId":"c","orderTotal":{"amount":1}}`); a.Status {
				case 502:
					return fmt.Errorf("the answer is %s", a.Body)
				default:
					sampletest.WantProblem(t, a, 503, "")
					return nil
				}
			})
			run(Orders)
			r.waitState(r.createOrder(ada, "1"), "CANCELLED")
		})
	}
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
	r := startAll(t, Design)
	s := sampletest.NewServers(t)
	second, err := New(Config{Broker: s.Broker(), Databases: s.Databases(Services...), Addrs: map[string]string{Gateway: r.Addr(Gateway)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); err == nil || !strings.Contains(err.Error(), r.Addr(Gateway)) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Run ended with %v, want one line with %s", err, r.Addr(Gateway))
	}
}
