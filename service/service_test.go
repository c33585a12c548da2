package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// part is a component that a test steers.
type part struct {
	name    string
	started chan struct{}
	stopped chan struct{} // closed when the part was told to stop
	finish  chan struct{} // the part ends when this is closed
	fail    chan error

	mu    sync.Mutex
	ready error
}

func newPart(name string) *part {
	p := &part{name: name, started: make(chan struct{}), stopped: make(chan struct{}), finish: make(chan struct{}), fail: make(chan error, 1)}
	return p
}

func (p *part) Name() string { return p.name }

func (p *part) Ready() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready
}

func (p *part) setReady(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready = err
}

func (p *part) Run(ctx context.Context) error {
	close(p.started)
	select {
	case err := <-p.fail:
		return err
	case <-ctx.Done():
	}
	close(p.stopped)
	<-p.finish
	return nil
}

func await[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("not within 10 s: %s", what)
	}
	return v
}

func start(t *testing.T, cfg Config) (s *Service, stop context.CancelFunc, ended <-chan error) {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, cancel, done
}

func TestRelayStopsAfterInboxes(t *testing.T) {
	t.Parallel()
	inbox, timer, relay := newPart("inbox"), newPart("timer"), newPart("relay")
	s, stop, ended := start(t, Config{Name: "orders", Inboxes: []Component{inbox}, Background: []Component{timer}, Relays: []Component{relay}})
	for _, p := range []*part{inbox, timer, relay} {
		await(t, p.name+" starts", p.started)
	}
	if reasons := s.Ready(); len(reasons) != 0 {
		t.Errorf("not ready: %v", reasons)
	}
	stop()
	await(t, "the inbox is told to stop", inbox.stopped)
	await(t, "the timer is told to stop", timer.stopped)
	if reasons := s.Ready(); reasons["orders"] != "draining" {
		t.Errorf("while draining: %v", reasons)
	}
	close(timer.finish)
	select {
	case <-relay.stopped:
		t.Error("the relay stops before the inbox has ended")
	default:
	}
	close(inbox.finish)
	await(t, "the relay is told to stop", relay.stopped)
	close(relay.finish)
	if err := await(t, "Run returns", ended); err != nil {
		t.Errorf("Run returned %v", err)
	}
}

func TestFailureOfAPartEndsTheService(t *testing.T) {
	t.Parallel()
	inbox, relay := newPart("inbox customers"), newPart("relay")
	close(relay.finish)
	_, _, ended := start(t, Config{Name: "orders", Inboxes: []Component{inbox}, Relays: []Component{relay}})
	lost := errors.New("no permission")
	inbox.fail <- lost
	if err := await(t, "Run returns", ended); !errors.Is(err, lost) || !strings.Contains(err.Error(), "inbox customers") {
		t.Errorf("Run returned %v", err)
	}
	await(t, "the relay was told to stop", relay.stopped)
}

func TestDrainTimeoutNamesWhatHangs(t *testing.T) {
	t.Parallel()
	hangs := newPart("inbox that hangs")
	t.Cleanup(func() { close(hangs.finish) })
	_, stop, ended := start(t, Config{Name: "orders", Inboxes: []Component{hangs}, DrainTimeout: 50 * time.Millisecond})
	await(t, "it starts", hangs.started)
	stop()
	if err := await(t, "Run returns", ended); err == nil || !strings.Contains(err.Error(), "inbox that hangs") {
		t.Errorf("Run returned %v", err)
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestHTTPSaysHealthReadinessAndMetrics(t *testing.T) {
	t.Parallel()
	inbox := newPart("inbox")
	close(inbox.finish)
	text := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s) })
	}
	s, stop, ended := start(t, Config{Name: "orders", Inboxes: []Component{inbox}, Addr: "127.0.0.1:0", Handler: text("hello"), Metrics: text("some_total 1")})
	await(t, "it starts", inbox.started)
	base := "http://" + s.Addr()
	for path, want := range map[string]string{"/healthz": `"ok"`, "/readyz": `"ready":true`, "/metrics": "some_total", "/": "hello", "/orders": "hello"} {
		if status, body := get(t, base+path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	inbox.setReady(errors.New("the broker is away"))
	status, body := get(t, base+"/readyz")
	var answer struct {
		Ready   bool
		Reasons map[string]string
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusServiceUnavailable || answer.Ready || answer.Reasons["inbox"] != "the broker is away" {
		t.Errorf("readyz: %d %s (%v)", status, body, err)
	}
	if status, _ := get(t, base+"/healthz"); status != http.StatusOK {
		t.Errorf("healthz while not ready: %d", status)
	}
	stop()
	if err := await(t, "Run returns", ended); err != nil {
		t.Error(err)
	}
}

// A request that runs when the service drains is finished; one that would run
// for ever sees the draining.
func TestRunningRequestsFinish(t *testing.T) {
	t.Parallel()
	arrived, proceed := make(chan struct{}, 2), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/work", func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-proceed
		if r.Context().Err() == nil {
			fmt.Fprint(w, "done")
		}
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-Draining(r.Context())
		close(proceed)
		fmt.Fprint(w, "bye")
	})
	inbox := newPart("inbox") // starts when the port is open
	close(inbox.finish)
	s, stop, ended := start(t, Config{Name: "orders", Addr: "127.0.0.1:0", Handler: mux, Inboxes: []Component{inbox}})
	await(t, "it starts", inbox.started)
	bodies := make(chan string, 2)
	for _, path := range []string{"/work", "/stream"} {
		go func() {
			_, body := get(t, "http://"+s.Addr()+path)
			bodies <- body
		}()
		await(t, "the request arrives", arrived)
	}
	stop()
	got := await(t, "an answer", bodies) + await(t, "another", bodies)
	if got != "donebye" && got != "byedone" {
		t.Errorf("the answers are %q", got)
	}
	if err := await(t, "Run returns", ended); err != nil {
		t.Error(err)
	}
}

func TestOccupiedPortAndBadConfig(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, err := New(Config{Name: "orders", Addr: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("Run returned %v", err)
	}
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "Name") {
		t.Errorf("New returned %v", err)
	}
	if _, err := New(Config{Name: "x", DrainTimeout: -1}); err == nil || !strings.Contains(err.Error(), "DrainTimeout") {
		t.Errorf("New returned %v", err)
	}
}
