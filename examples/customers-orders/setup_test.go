package customersorders

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings.example/broker/natsjs"
	"tidings.example/internal/connect"
)

// patience is how long a test waits for what must happen, on a machine that
// has much else to do.
const patience = 90 * time.Second

// servers are what a system runs on: a NATS server in the process, and a
// directory for SQLite files.
type servers struct {
	t    *testing.T
	dir  string
	nats *natsjs.Embedded
}

func newServers(t *testing.T) *servers {
	t.Helper()
	dir := t.TempDir()
	nats, err := natsjs.StartEmbedded(natsjs.EmbeddedConfig{Dir: filepath.Join(dir, "nats"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nats.Close() })
	return &servers{t: t, dir: dir, nats: nats}
}

func (s *servers) broker() *connect.Broker {
	s.t.Helper()
	b, err := natsjs.Open(s.t.Context(), natsjs.Config{Server: s.nats, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = b.Close() })
	return connect.NewNATS(b)
}

func (s *servers) database(name string) *connect.Database {
	s.t.Helper()
	db, err := connect.OpenDatabase(s.t.Context(), "sqlite://"+filepath.Join(s.dir, name+".db"), connect.Options{Create: true})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = db.Close() })
	return db
}

// running is a system that a test has started.
type running struct {
	*System
	t    *testing.T
	url  string
	stop func()
}

// start runs a system until the test ends or calls stop, and fails the test if
// it does not stop cleanly. The services that are away need not be ready.
func start(t *testing.T, cfg Config, away ...string) *running {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(&testWriter{t: t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r := &running{System: s, t: t, stop: sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("system ended with %v", err)
		}
	})}
	t.Cleanup(r.stop)
	waitFor(t, func() error {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("system ended with %v", err)
		default:
		}
		for why, reason := range s.Ready() {
			if !slices.ContainsFunc(away, func(name string) bool { return why == Gateway+": service "+name }) {
				return fmt.Errorf("%s: %s", why, reason)
			}
		}
		return nil
	})
	r.url = "http://" + s.Addr(Gateway)
	return r
}

// databases opens the databases of services.
func databases(s *servers, names ...string) map[string]*connect.Database {
	s.t.Helper()
	all := map[string]*connect.Database{}
	for _, name := range names {
		all[name] = s.database(name)
	}
	return all
}

// freeAddr returns an address at which nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// startAll runs the whole sample in one process, on servers of its own.
func startAll(t *testing.T) *running {
	t.Helper()
	s := newServers(t)
	return start(t, Config{Broker: s.broker(), Databases: databases(s, Services...), Addrs: map[string]string{Gateway: "127.0.0.1:0"}})
}

// testWriter writes to the test's log, as long as the test runs.
type testWriter struct {
	t  *testing.T
	mu sync.Mutex
}

func (w *testWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t.Context().Err() == nil {
		w.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// waitFor asks until there is no error, and fails the test when it loses patience.
func waitFor(t *testing.T, ask func() error) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-limit.C:
			t.Fatalf("still after %s: %v", patience, err)
		case <-tick.C:
		}
	}
}

// answer is an HTTP answer, read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// request sends a request; body is sent as JSON if it is not empty.
func (r *running) request(method, path, body string) answer {
	r.t.Helper()
	header := http.Header{}
	if body != "" {
		header.Set("Content-Type", "application/json")
	}
	return r.requestWith(method, path, body, header)
}

func (r *running) requestWith(method, path, body string, header http.Header) answer {
	r.t.Helper()
	a, err := send(r.t.Context(), method, r.url+path, body, header)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func send(ctx context.Context, method, url, body string, header http.Header) (answer, error) {
	q, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	q.Header = header
	response, err := client.Do(q)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, text}, err
}

// client follows no redirect, so that a test sees what the server answers.
var client = &http.Client{
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// decode reads the answer's JSON.
func decode[T any](t *testing.T, a answer) (v T) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("answer %d is not JSON: %v\n%s", a.status, err, a.body)
	}
	return v
}

type document = map[string]any

func (r *running) createCustomer(name, limit string) string {
	r.t.Helper()
	a := r.request("POST", "/customers", fmt.Sprintf(`{"name":%q,"creditLimit":{"amount":%s}}`, name, limit))
	if a.status != 201 {
		r.t.Fatalf("POST /customers: %d %s", a.status, a.body)
	}
	return decode[map[string]string](r.t, a)["customerId"]
}

func (r *running) createOrder(customer, total string) string {
	r.t.Helper()
	a := r.request("POST", "/orders", fmt.Sprintf(`{"customerId":%q,"orderTotal":{"amount":%s}}`, customer, total))
	if a.status != 201 {
		r.t.Fatalf("POST /orders: %d %s", a.status, a.body)
	}
	return decode[map[string]string](r.t, a)["orderId"]
}

// get returns the JSON at a path.
func (r *running) get(path string) document {
	r.t.Helper()
	a := r.request("GET", path, "")
	if a.status != 200 {
		r.t.Fatalf("GET %s: %d %s", path, a.status, a.body)
	}
	return decode[document](r.t, a)
}

// waitState waits until an order has a state.
func (r *running) waitState(order, state string) document {
	r.t.Helper()
	var o document
	waitFor(r.t, func() error {
		if o = r.get("/orders/" + order); o["orderState"] != state {
			return fmt.Errorf("order is %v, want %s", o["orderState"], state)
		}
		return nil
	})
	return o
}

// waitAvailable waits until a customer has so much credit left.
func (r *running) waitAvailable(customer, amount string) {
	r.t.Helper()
	waitFor(r.t, func() error {
		if got := amountOf(r.get("/customers/" + customer)["availableCredit"]); got != amount {
			return fmt.Errorf("available credit is %s, want %s", got, amount)
		}
		return nil
	})
}

// amountOf is the text of money as it was sent.
func amountOf(v any) string {
	m, _ := v.(document)
	return fmt.Sprint(m["amount"])
}
