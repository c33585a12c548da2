package customersorders

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/sampletest"
	"tidings.example/internal/servertest"
)

// TestCreditUnderLoad places orders from many clients at once, more than the
// limits allow, and cancels some that were approved. Reserved credit must never
// exceed a limit, and must in the end be the sum of the approved orders.
func TestCreditUnderLoad(t *testing.T) {
	t.Parallel()
	for style, design := range styles {
		t.Run(style+"-sqlite-nats", func(t *testing.T) {
			t.Parallel()
			r := startAll(t, design)
			newLoad(r, 400).run()
		})
		for store, url := range map[string]func(testing.TB) string{"postgres": servertest.PostgresDatabase, "mysql": servertest.MySQLDatabase} {
			t.Run(style+"-"+store+"-kafka", func(t *testing.T) {
				t.Parallel()
				r := start(t, design, sampletest.OnKafka(t, design, url))
				newLoad(r, 300).run()
			})
		}
	}
}

// load is what the clients do.
type load struct {
	*running
	orders    int
	customers []string
}

const (
	loadCustomers = 15
	loadClients   = 8
	loadLimit     = money.Money(100_00)
)

func newLoad(r *running, orders int) *load {
	l := &load{running: r, orders: orders}
	for i := range loadCustomers {
		l.customers = append(l.customers, r.createCustomer(fmt.Sprintf("Customer %d", i), loadLimit.String()))
	}
	return l
}

func (l *load) run() {
	l.T.Helper()
	seed := rand.Uint64()
	l.T.Logf("seed %d", seed)
	watching, stopWatching := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watching)
		l.watch(stopWatching)
	}()
	var clients sync.WaitGroup
	for n := range loadClients {
		clients.Go(func() { l.client(rand.New(rand.NewPCG(seed, uint64(n)))) })
	}
	clients.Wait()
	l.settle()
	l.cancelSome()
	l.settle()
	close(stopWatching)
	<-watching
	l.check()
	l.checkNoGaps()
}

// client places its share of the orders, and tries to cancel some of them.
func (l *load) client(random *rand.Rand) {
	header := http.Header{"Content-Type": {"application/json"}}
	var placed []string
	for range l.orders / loadClients {
		total := money.Money(1 + random.Int64N(40_00))
		body := fmt.Sprintf(`{"customerId":%q,"orderTotal":{"amount":%s}}`, l.customers[random.IntN(len(l.customers))], total)
		a, err := l.send("/orders", body, header)
		if err != nil || a.Status != 201 {
			l.T.Errorf("POST /orders: %d %s, %v", a.Status, a.Body, err)
			return
		}
		placed = append(placed, a.Header.Get("Location"))
		// It may be pending, refused or cancelled already; then the answer is 409.
		a, err = l.send(placed[random.IntN(len(placed))]+"/cancel", "", http.Header{})
		if err != nil || a.Status != 200 && a.Status != 409 {
			l.T.Errorf("POST cancel: %d %s, %v", a.Status, a.Body, err)
			return
		}
	}
}

// send posts, again and again while the answer is to try again, as it is where
// the machine is slower than the limits of the stores.
func (l *load) send(path, body string, header http.Header) (sampletest.Answer, error) {
	for {
		a, err := sampletest.Send(l.T.Context(), "POST", l.URL+path, body, header)
		if err != nil || a.Status != http.StatusServiceUnavailable {
			return a, err
		}
	}
}

// cancelSome cancels every third approved order.
func (l *load) cancelSome() {
	l.T.Helper()
	for i, o := range l.allOrders("/orders") {
		if i%3 != 0 || o.OrderState != "APPROVED" {
			continue
		}
		if a, err := l.send("/orders/"+o.OrderID+"/cancel", "", http.Header{}); err != nil || a.Status != 200 {
			l.T.Errorf("POST cancel of an approved order: %d %s, %v", a.Status, a.Body, err)
		}
	}
}

// watch looks again and again whether a limit is exceeded.
func (l *load) watch(stop <-chan struct{}) {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-stop:
			return
		case <-look.C:
		}
		a, err := sampletest.Send(l.T.Context(), "GET", l.URL+"/customers", "", http.Header{})
		if err != nil {
			l.T.Error(err)
			return
		}
		var list struct{ Customers []customerView }
		if err := json.Unmarshal(a.Body, &list); err != nil {
			l.T.Errorf("%v: %s", err, a.Body)
			return
		}
		for _, c := range list.Customers {
			if c.AvailableCredit > c.CreditLimit {
				l.T.Errorf("customer %s has %s available of %s", c.CustomerID, c.AvailableCredit, c.CreditLimit)
			}
		}
	}
}

type customerView struct {
	CustomerID                   string
	CreditLimit, AvailableCredit money.Money
}

type orderView struct {
	OrderID, CustomerID string
	OrderState          string
	OrderTotal          money.Money
	CancellationReason  string
}

// settle waits until no order is pending and the others have heard of all.
func (l *load) settle() {
	l.T.Helper()
	sampletest.WaitFor(l.T, func() error {
		approved := map[string]money.Money{}
		orders := l.allOrders("/orders")
		for _, o := range orders {
			switch o.OrderState {
			case "PENDING":
				return fmt.Errorf("order %s is pending", o.OrderID)
			case "APPROVED":
				approved[o.CustomerID] += o.OrderTotal
			}
		}
		for _, id := range l.customers {
			c := sampletest.Decode[customerView](l.T, l.Request("GET", "/customers/"+id, ""))
			if c.CreditLimit-c.AvailableCredit != approved[id] {
				return fmt.Errorf("customer %s has reserved %s, and approved orders of %s", id, c.CreditLimit-c.AvailableCredit, approved[id])
			}
		}
		if got, want := l.histories(), summaries(orders); !slices.Equal(got, want) {
			return fmt.Errorf("the history has %d orders that are not the %d that there are", len(got), len(want))
		}
		return nil
	})
}

// check looks once more when all is quiet: it must have stayed so, and the load
// must have met what it was made for.
func (l *load) check() {
	l.T.Helper()
	seen := map[string]int{}
	for _, o := range l.allOrders("/orders") {
		seen[o.OrderState+" "+o.CancellationReason]++
	}
	l.T.Logf("orders: %v", seen)
	for _, kind := range []string{"APPROVED ", "CANCELLED CREDIT_LIMIT_EXCEEDED", "CANCELLED BY_CUSTOMER"} {
		if seen[kind] == 0 {
			l.T.Errorf("no order is %s: the load proves little", kind)
		}
	}
	if n := l.orders / loadClients * loadClients; sum(maps.Values(seen)) != n {
		l.T.Errorf("there are %d orders, want %d", sum(maps.Values(seen)), n)
	}
}

// checkNoGaps: nothing was killed, so nothing may have been missed on the way, not even for a moment.
func (l *load) checkNoGaps() {
	l.T.Helper()
	gaps := regexp.MustCompile(`(?m)^tidings_inbox_gaps_total\{.* (\S+)$`).FindAllSubmatch(l.Request("GET", "/metrics", "").Body, -1)
	if len(gaps) != len(Services) {
		l.T.Errorf("the metrics show the gaps of %d inboxes, want %d", len(gaps), len(Services))
	}
	for _, line := range gaps {
		if string(line[1]) != "0" {
			l.T.Errorf("messages were missed: %s", line[0])
		}
	}
}

func sum(ns iter.Seq[int]) (total int) {
	for n := range ns {
		total += n
	}
	return total
}

// histories is what the history service knows of all customers, as text.
func (l *load) histories() (all []string) {
	for _, id := range l.customers {
		for _, o := range l.allOrders("/customers/" + id + "/orderhistory") {
			o.CustomerID = id
			all = append(all, fmt.Sprint(o))
		}
	}
	slices.Sort(all)
	return all
}

func summaries(orders []orderView) (all []string) {
	for _, o := range orders {
		all = append(all, fmt.Sprint(o))
	}
	slices.Sort(all)
	return all
}

// allOrders reads a list of orders page by page.
func (r *running) allOrders(path string) (all []orderView) {
	r.T.Helper()
	for next := path + "?limit=1000"; next != ""; {
		a := r.Request("GET", next, "")
		if a.Status == 404 && strings.Contains(path, "history") {
			return nil // has not heard of the customer yet
		}
		page := sampletest.Decode[struct {
			Orders []orderView
			Next   string
		}](r.T, a)
		all, next = append(all, page.Orders...), page.Next
	}
	return all
}
