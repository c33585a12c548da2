package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"tidings.example/examples/shared/web"
)

// Local is a service in the same process. ready says what keeps it from its work.
func Local(name string, h http.Handler, ready func() map[string]string) Backend {
	return &local{Handler: h, name: name, ready: ready}
}

type local struct {
	http.Handler
	name  string
	ready func() map[string]string
}

func (l *local) Name() string { return "service " + l.name }

// Run has nothing to do: the service runs by itself.
func (l *local) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (l *local) Ready() error { return summary(l.ready()) }

// summary makes one error of the reasons why a service is not ready.
func summary(reasons map[string]string) error {
	var all []string
	for _, part := range slices.Sorted(maps.Keys(reasons)) {
		all = append(all, part+": "+reasons[part])
	}
	if len(all) == 0 {
		return nil
	}
	return errors.New(strings.Join(all, "; "))
}

// Remote is a service at an address, such as 127.0.0.1:8081.
func Remote(name, addr string, logger *slog.Logger) Backend {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: 30 * time.Second}
	r := &remote{name: name, addr: addr, client: &http.Client{Transport: transport, Timeout: 2 * time.Second}}
	r.why = fmt.Errorf("%s has not been asked yet", addr)
	r.proxy = &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: addr})
			p.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, q *http.Request, err error) {
			if q.Context().Err() != nil {
				return // the client has gone
			}
			logger.Warn("service does not answer", "service", name, "addr", addr, "path", q.URL.Path, "error", err)
			if op, ok := errors.AsType[*net.OpError](err); q.Method == http.MethodPost && (!ok || op.Op != "dial") {
				web.WriteProblem(w, web.NewProblem(http.StatusBadGateway,
					"the service %s ended before it answered: look whether it has done what was asked for", name))
				return
			}
			w.Header().Set("Retry-After", "1")
			web.WriteProblem(w, web.NewProblem(http.StatusServiceUnavailable, "the service %s does not answer: try again", name))
		},
	}
	return r
}

type remote struct {
	name, addr string
	proxy      *httputil.ReverseProxy
	client     *http.Client

	mu  sync.Mutex
	why error
}

func (r *remote) ServeHTTP(w http.ResponseWriter, q *http.Request) { r.proxy.ServeHTTP(w, q) }

func (r *remote) Name() string { return "service " + r.name }

func (r *remote) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.why
}

// Run asks each second whether the service is ready.
func (r *remote) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	defer r.client.CloseIdleConnections()
	for {
		why := r.ask(ctx)
		r.mu.Lock()
		r.why = why
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (r *remote) ask(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.addr+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := r.client.Do(request)
	if err != nil {
		return fmt.Errorf("does not answer: %w", err)
	}
	defer response.Body.Close()
	var body struct {
		Service string            `json:"service"`
		Reasons map[string]string `json:"reasons"`
	}
	err = json.NewDecoder(io.LimitReader(response.Body, web.MaxBody)).Decode(&body)
	switch {
	case err != nil || body.Service != r.name:
		return fmt.Errorf("what answers at %s is not the service %s", r.addr, r.name)
	case response.StatusCode == http.StatusOK:
		return nil
	}
	return summary(body.Reasons)
}
