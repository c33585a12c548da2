package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// load sends orders, and now and then a cancellation, through the gateway. While
// parts of the system are down, requests fail; that is no error of the run:
// what counts is what was committed.
type load struct {
	base      string
	rate      int
	customers []string
	client    *http.Client

	mu       sync.Mutex
	orders   []string
	accepted int
	refused  int
}

func newLoad(base string, rate int) *load {
	return &load{base: base, rate: rate, client: &http.Client{Timeout: 5 * time.Second}}
}

// post sends one request and reads the answer into v if it is the wanted one.
func (l *load) post(ctx context.Context, path string, body any, want int, v any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.base+path, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := l.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != want {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 500))
		return fmt.Errorf("POST %s: %s: %s", path, response.Status, text)
	}
	if v == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(v)
}

type amount struct {
	Amount json.Number `json:"amount"`
}

// createCustomers makes customers whose limits differ, so that some orders are
// approved and some are not.
func (l *load) createCustomers(ctx context.Context, n int) error {
	for i := range n {
		var created struct{ CustomerID string }
		limit := amount{json.Number(fmt.Sprintf("%d.50", 100*(i%7+1)))}
		err := l.post(ctx, "/customers", map[string]any{"name": fmt.Sprintf("Customer %d", i), "creditLimit": limit}, http.StatusCreated, &created)
		if err != nil {
			return fmt.Errorf("create a customer: %w", err)
		}
		l.customers = append(l.customers, created.CustomerID)
	}
	return nil
}

// run sends requests at the rate until ctx is done.
func (l *load) run(ctx context.Context, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	ticker := time.NewTicker(time.Second / time.Duration(l.rate))
	defer ticker.Stop()
	var wait sync.WaitGroup
	defer wait.Wait()
	slots := make(chan struct{}, 32)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		customer := l.customers[random.IntN(len(l.customers))]
		total := amount{json.Number(fmt.Sprintf("%d.%02d", random.IntN(60), 1+random.IntN(99)))}
		cancel := random.IntN(4) == 0
		pick := random.Uint64()
		select {
		case slots <- struct{}{}:
		default:
			continue // the system is stuck for the moment: no more load on top
		}
		wait.Go(func() {
			defer func() { <-slots }()
			if cancel {
				l.cancelOne(ctx, pick)
				return
			}
			l.orderOne(ctx, customer, total)
		})
	}
}

func (l *load) orderOne(ctx context.Context, customer string, total amount) {
	var created struct{ OrderID string }
	err := l.post(ctx, "/orders", map[string]any{"customerId": customer, "orderTotal": total}, http.StatusCreated, &created)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.refused++
		return
	}
	l.accepted++
	l.orders = append(l.orders, created.OrderID)
}

// cancelOne cancels some earlier order. Being refused is as good as not: the
// order may be pending or cancelled.
func (l *load) cancelOne(ctx context.Context, pick uint64) {
	l.mu.Lock()
	if len(l.orders) == 0 {
		l.mu.Unlock()
		return
	}
	id := l.orders[pick%uint64(len(l.orders))]
	l.mu.Unlock()
	_ = l.post(ctx, "/orders/"+id+"/cancel", struct{}{}, http.StatusOK, nil)
}
