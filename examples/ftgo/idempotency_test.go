package ftgo

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"tidings.example"
	"tidings.example/examples/shared/sampletest"
	"tidings.example/internal/servertest"
)

func withKey(key string) http.Header {
	return http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {key}}
}

// TestIdempotencyKey: requests with one key make one order, also where they come at the same time.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	t.Run("sqlite-nats", func(t *testing.T) {
		t.Parallel()
		checkKeys(t, startAll(t))
	})
	for store, url := range map[string]func(testing.TB) string{"postgres": servertest.PostgresDatabase, "mysql": servertest.MySQLDatabase} {
		t.Run(store+"-kafka", func(t *testing.T) {
			t.Parallel()
			checkKeys(t, start(t, sampletest.OnKafka(t, Design, url)))
		})
	}
}

func checkKeys(t *testing.T, r *running) {
	t.Helper()
	body := orderBody("c", "r", "1", 1)
	want := map[string]bool{}
	for range 5 {
		key := tidings.NewID()
		var mu sync.Mutex
		ids := map[string]int{}
		var posting sync.WaitGroup
		for range 6 {
			posting.Go(func() {
				for {
					a, err := sampletest.Send(t.Context(), "POST", r.URL+"/orders", body, withKey(key))
					if err == nil && a.Status == http.StatusServiceUnavailable {
						continue
					}
					if err != nil || a.Status != http.StatusCreated {
						t.Errorf("POST /orders with a key: %d %s, %v", a.Status, a.Body, err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					ids[a.Header.Get("Location")]++
					return
				}
			})
		}
		posting.Wait()
		if len(ids) != 1 {
			t.Fatalf("one key has made the orders %v", ids)
		}
		for id := range ids {
			want[id] = true
		}
		sampletest.WantProblem(t, r.RequestWith("POST", "/orders", orderBody("c", "r", "1", 2), withKey(key)), 422, "")
		if a := r.RequestWith("POST", "/orders", body, withKey(`"`+key+`"`)); !want[a.Header.Get("Location")] {
			t.Errorf("the key in quotes has made another order: %d %s", a.Status, a.Body)
		}
	}
	if all := r.Get("/orders")["orders"].([]any); len(all) != len(want) {
		t.Errorf("there are %d orders, want %d", len(all), len(want))
	}
	for _, key := range []string{"", `""`, "a b", strings.Repeat("x", 65)} {
		sampletest.WantProblem(t, r.RequestWith("POST", "/orders", body, withKey(key)), 400, "Idempotency-Key")
	}
}
