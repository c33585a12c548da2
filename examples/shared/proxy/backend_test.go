package proxy

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestServiceThatIsAway: 503 says that nothing has happened, 502 that nobody knows.
func TestServiceThatIsAway(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away := listener.Addr().String()
	listener.Close()
	ends := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(ends.Close)
	for _, c := range []struct {
		method, addr string
		status       int
	}{
		{"POST", away, 503}, {"GET", away, 503},
		{"POST", ends.Listener.Addr().String(), 502}, {"GET", ends.Listener.Addr().String(), 503},
	} {
		w := httptest.NewRecorder()
		Remote("orders", c.addr, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(c.method, "/orders", strings.NewReader("{}")))
		if kind := w.Header().Get("Content-Type"); w.Code != c.status || kind != "application/problem+json" {
			t.Errorf("%s: the answer is %d %s, want a problem with %d", c.method, w.Code, kind, c.status)
		}
	}
}

// TestReadinessOfAStranger: another program at a service's address is not the service.
func TestReadinessOfAStranger(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"service":"orders","ready":true,"reasons":{}}`:                       "",
		`{"service":"orders","ready":false,"reasons":{"inbox orders":"late"}}`: "inbox orders: late",
		`{"service":"billing","ready":true}`:                                   "is not the service orders",
		`<html>`:                                                               "is not the service orders",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if strings.Contains(body, "false") {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			_, _ = w.Write([]byte(body))
		}))
		r := Remote("orders", server.Listener.Addr().String(), slog.New(slog.DiscardHandler)).(*remote)
		err := r.ask(t.Context())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: not ready because of %v, want %q", body, err, want)
		}
		server.Close()
	}
}
