package main

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"tidings.example/internal/servertest"
)

var orderID = regexp.MustCompile(`"orderId":"([^"]+)"`)

// lastFTGO is how the banner of the whole system ends.
const lastFTGO = "/orders/$order\n"

// TestDemoFTGO is what a stranger does: start it, paste the commands, stop it.
func TestDemoFTGO(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	p := invocation{dir: t.TempDir(), args: []string{"demo", "--system", "ftgo", "--addr", addr}}.start(t)
	p.await(lastFTGO)
	banner := p.output.String()
	for _, want := range []string{"http://" + addr, "order-service, consumer-service, restaurant-service", "tidings-data", "Ctrl-C"} {
		if !strings.Contains(banner, want) {
			t.Errorf("the banner does not say %q:\n%s", want, banner)
		}
	}
	answers := paste(t, commandsOf(t, banner, 4))
	order := orderID.FindStringSubmatch(answers)
	if order == nil {
		t.Fatalf("the commands answer:\n%s", answers)
	}
	// On a machine that has much else to do, the second that the commands wait is not enough.
	awaitPage(t, "http://"+addr+"/orders/"+order[1], http.StatusOK, `"state":"VALIDATED","orderTotal":{"amount":24.68}`)
	awaitPage(t, "http://"+addr+"/metrics", http.StatusOK, "tidings_saga_")
	p.signal(os.Interrupt)
	if code := p.end(); code != exitDone {
		t.Errorf("after Ctrl-C the exit code is %d", code)
	}
}

// orderFTGO creates a consumer, a restaurant and an order of two dishes.
func orderFTGO(t *testing.T, base string) (order string) {
	t.Helper()
	consumer := post(t, base+"/consumers", `{"name":{"firstName":"Ada","lastName":"Lovelace"},"spendingLimit":{"amount":100}}`)["consumerId"]
	restaurant := post(t, base+"/restaurants",
		`{"name":"Ajanta","address":"1 Main Street","menu":{"menuItems":[{"id":"1","name":"Vindaloo","price":{"amount":12.34}}]}}`)["restaurantId"]
	return post(t, base+"/orders", lineOf(consumer, restaurant))["orderId"]
}

func lineOf(consumer, restaurant string) string {
	return `{"consumerId":"` + consumer + `","restaurantId":"` + restaurant + `","lineItems":[{"menuItemId":"1","quantity":2}]}`
}

// TestDemoFTGOAsProcesses runs each process alone, and places an order while the
// services that validate it are killed.
func TestDemoFTGOAsProcesses(t *testing.T) {
	t.Parallel()
	gateway := freeAddr(t)
	flags := []string{"--system", "ftgo", "--dir", t.TempDir(), "--addr", gateway}
	for _, name := range []string{"order-service", "consumer-service", "restaurant-service", "nats"} {
		flags = append(flags, "--"+name+"-addr", freeAddr(t))
	}
	base := "http://" + gateway
	running := map[string]*process{}
	start := func(name string) {
		running[name] = invocation{args: append([]string{"demo", "--process", name}, flags...)}.start(t)
	}
	for _, name := range []string{"gateway", "restaurant-service", "order-service", "consumer-service", "broker"} {
		start(name)
	}
	for name, p := range running {
		p.await(name + " runs")
	}
	awaitPage(t, base+"/readyz", http.StatusOK, "true")
	awaitPage(t, base+"/orders/"+orderFTGO(t, base), http.StatusOK, "VALIDATED")

	for _, name := range []string{"consumer-service", "restaurant-service"} {
		running[name].signal(os.Kill)
		running[name].end()
	}
	waiting := post(t, base+"/orders", lineOf("nobody", "nowhere"))["orderId"]
	awaitPage(t, base+"/orders/"+waiting, http.StatusOK, `"PENDING"`)
	running["order-service"].signal(os.Kill)
	running["order-service"].end()
	for _, name := range []string{"restaurant-service", "consumer-service", "order-service"} {
		start(name)
		running[name].await(name + " runs")
	}
	awaitPage(t, base+"/readyz", http.StatusOK, "true")
	awaitPage(t, base+"/orders/"+waiting, http.StatusOK, "CONSUMER_NOT_FOUND")
	awaitPage(t, base+"/orders/"+orderFTGO(t, base), http.StatusOK, "VALIDATED")
	for name, p := range running {
		p.signal(os.Interrupt)
		if code := p.end(); code != exitDone {
			t.Errorf("%s: after Ctrl-C the exit code is %d", name, code)
		}
	}
}

// TestDemoFTGOOnServers runs it on each database server, on Kafka.
func TestDemoFTGOOnServers(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]func(testing.TB) string{"postgres": servertest.Postgres, "mysql": servertest.MySQL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prefix, addr := servertest.Name("demo"), freeAddr(t)
			store := server(t)
			broker := kafka(t, prefix+"_consumer-service.commands", prefix+"_restaurant-service.commands", prefix+"_order-service.saga-replies")
			services := []string{"order_service", "consumer_service", "restaurant_service"}
			dropDatabases(t, store, prefix, services...)
			p := invocation{env: []string{"TIDINGS_DEMO_STORE_URL=" + store, "TIDINGS_DEMO_BROKER_URL=" + broker},
				args: []string{"demo", "--system", "ftgo", "--dir", t.TempDir(), "--addr", addr, "--prefix", prefix}}.start(t)
			p.await(lastFTGO)
			awaitPage(t, "http://"+addr+"/orders/"+orderFTGO(t, "http://"+addr), http.StatusOK, "VALIDATED")
			p.signal(os.Interrupt)
			if code := p.end(); code != exitDone {
				t.Errorf("after Ctrl-C the exit code is %d", code)
			}
		})
	}
}
