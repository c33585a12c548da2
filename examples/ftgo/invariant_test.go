package ftgo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/sampletest"
	"tidings.example/internal/servertest"
)

// TestOrdersSettle places random orders from many clients. Each must end as the
// model of the test says, whatever restarts and whatever comes twice.
func TestOrdersSettle(t *testing.T) {
	t.Parallel()
	t.Run("sqlite-nats", func(t *testing.T) {
		t.Parallel()
		settleOrders(t, startAll(t), 240, func() {})
	})
	// Each process has its own connection, and all services are taken away and come back.
	t.Run("restarts", func(t *testing.T) {
		t.Parallel()
		a := newApart(t)
		parts := map[string]*running{}
		for _, name := range Design.ServiceNames() {
			parts[name] = a.run(name)
		}
		settleOrders(t, a.run(Gateway), 240, func() {
			for name, one := range parts {
				one.Stop()
				parts[name] = a.run(name)
			}
		})
	})
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		s := sampletest.NewServers(t)
		b := s.Broker()
		copies := &twice{Publisher: b.Publisher}
		b.Publisher = copies
		r := start(t, Config{Broker: b, Databases: s.Databases(Design.ServiceNames()...), Addrs: map[string]string{Gateway: "127.0.0.1:0"}})
		settleOrders(t, r, 120, func() {})
		if copies.n == 0 {
			t.Error("no message was sent twice")
		}
	})
	for store, url := range map[string]func(testing.TB) string{"postgres": servertest.PostgresDatabase, "mysql": servertest.MySQLDatabase} {
		t.Run(store+"-kafka", func(t *testing.T) {
			t.Parallel()
			settleOrders(t, start(t, sampletest.OnKafka(t, Design, url)), 160, func() {})
		})
	}
}

// twice sends each message twice, as a relay does that was killed before it recorded what it had sent.
type twice struct {
	broker.Publisher
	mu sync.Mutex
	n  int
}

func (p *twice) Publish(ctx context.Context, ms []*tidings.Message, done func(i int, err error)) {
	p.mu.Lock()
	p.n += len(ms)
	p.mu.Unlock()
	var copies sync.WaitGroup
	copies.Add(len(ms))
	p.Publisher.Publish(ctx, ms, func(int, error) { copies.Done() })
	copies.Wait()
	p.Publisher.Publish(ctx, ms, done)
}

const clients = 6

// settleOrders places n orders; in the middle it calls disturb.
func settleOrders(t *testing.T, r *running, n int, disturb func()) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := &model{limits: map[string]money.Money{}, want: map[string]string{}}
	for _, limit := range []money.Money{1_00, 10_00, 25_00, 60_00, 400_00} {
		m.consumers = append(m.consumers, r.createConsumer(limit.String()))
		m.limits[m.consumers[len(m.consumers)-1]] = limit
	}
	m.restaurants = []string{r.createRestaurant(), r.createRestaurant()}
	var placing sync.WaitGroup
	for client := range clients {
		placing.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(client)))
			for range n / clients {
				if err := m.place(t.Context(), r.URL, random); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	disturb()
	placing.Wait()
	seen := map[string]int{}
	for id, want := range m.want {
		r.wantSettled(id, want)
		var state, reason string
		fmt.Sscan(want, &state, &reason)
		seen[state+" "+reason]++
	}
	t.Logf("orders: %v", seen)
	for _, end := range []string{"VALIDATED <nil>", "REJECTED CONSUMER_NOT_FOUND", "REJECTED RESTAURANT_NOT_FOUND", "REJECTED MENU_ITEM_NOT_FOUND", "REJECTED SPENDING_LIMIT_EXCEEDED"} {
		if seen[end] == 0 {
			t.Errorf("no order is %s: the load proves little", end)
		}
	}
	// Requests that were repeated have made no second order.
	if all := r.Get("/orders?limit=1000")["orders"].([]any); len(all) != len(m.want) {
		t.Errorf("there are %d orders, want %d", len(all), len(m.want))
	}
	// What has settled stays as it is: nothing that comes late changes it.
	for id, want := range m.want {
		if got := endOf(r.Get("/orders/" + id)); got != want {
			t.Errorf("in the end the order is %s, want %s", got, want)
		}
	}
}

// model is what there is to order from, and how each order must end.
type model struct {
	consumers, restaurants []string
	limits                 map[string]money.Money

	mu   sync.Mutex
	want map[string]string
}

var prices = map[string]money.Money{"vindaloo": 12_34, "naan": 2_50}

func (m *model) place(ctx context.Context, url string, random *rand.Rand) error {
	pick := func(known []string, unknown string) string {
		if random.IntN(6) == 0 {
			return unknown
		}
		return known[random.IntN(len(known))]
	}
	consumer, restaurant := pick(m.consumers, "nobody"), pick(m.restaurants, "nowhere")
	item, quantity := pick([]string{"vindaloo", "naan"}, "tikka"), 1+random.IntN(9)
	header := withKey(tidings.NewID())
	for {
		a, err := sampletest.Send(ctx, "POST", url+"/orders", orderBody(consumer, restaurant, item, quantity), header)
		switch {
		case err != nil:
			return err
		case a.Status == http.StatusServiceUnavailable || a.Status == http.StatusBadGateway:
			// The service is away, or has gone before it answered.
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Millisecond):
				continue
			}
		case a.Status != http.StatusCreated:
			return fmt.Errorf("POST /orders: %d %s", a.Status, a.Body)
		}
		id := a.Header.Get("Location")[len("/orders/"):]
		m.mu.Lock()
		defer m.mu.Unlock()
		m.want[id] = m.end(consumer, restaurant, item, quantity)
		return nil
	}
}

// end says in other words than the sample's how an order ends.
func (m *model) end(consumer, restaurant, item string, quantity int) string {
	total := "<nil>"
	price, offered := prices[item]
	if offered = offered && restaurant != "nowhere"; offered {
		total = (price * money.Money(quantity)).String()
	}
	switch {
	case consumer == "nobody":
		return "REJECTED CONSUMER_NOT_FOUND " + total
	case restaurant == "nowhere":
		return "REJECTED RESTAURANT_NOT_FOUND " + total
	case !offered:
		return "REJECTED MENU_ITEM_NOT_FOUND " + total
	case price*money.Money(quantity) > m.limits[consumer]:
		return "REJECTED SPENDING_LIMIT_EXCEEDED " + total
	}
	return "VALIDATED <nil> " + total
}
