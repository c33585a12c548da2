package web

import (
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Func answers a request, or returns an error before it has written anything.
// A [*Problem] is what the client gets; any other error is logged and becomes a
// 500, or a 503 where it may not come again.
type Func func(w http.ResponseWriter, r *http.Request) error

// Methods are the answers of one path. GET answers HEAD too.
type Methods map[string]Func

// Config says how routes report. All of it is optional.
type Config struct {
	// Logger gets errors, and every request at level debug.
	Logger *slog.Logger
	// Transient reports whether an error may not come again when the request
	// is repeated.
	Transient func(error) bool
	// Observe is told of every request that was answered. Pattern is the
	// route's, such as "/orders/{id}".
	Observe func(Request)
}

// A Request is one that was answered.
type Request struct {
	Method, Pattern string
	Status          int
	Duration        time.Duration
}

// Routes is an http.Handler that knows every path of a service.
type Routes struct {
	cfg Config
	mux *http.ServeMux
}

// NewRoutes returns routes that answer 404 to everything.
func NewRoutes(cfg Config) *Routes {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Transient == nil {
		cfg.Transient = func(error) bool { return false }
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Request) {}
	}
	r := &Routes{cfg: cfg, mux: http.NewServeMux()}
	r.mux.Handle("/", r.adapt(func(_ http.ResponseWriter, q *http.Request) error {
		return NotFound("the path %s", q.URL.Path)
	}))
	return r
}

// Handle adds a path, in the syntax of http.ServeMux without a method.
func (r *Routes) Handle(path string, methods Methods) { r.mux.Handle(path, r.adapt(methods.serve)) }

// ServeHTTP answers a request.
func (r *Routes) ServeHTTP(w http.ResponseWriter, q *http.Request) { r.mux.ServeHTTP(w, q) }

func (m Methods) serve(w http.ResponseWriter, q *http.Request) error {
	answer := m[q.Method]
	if answer == nil && q.Method == http.MethodHead {
		answer = m[http.MethodGet]
	}
	if answer != nil {
		return answer(w, q)
	}
	w.Header().Set("Allow", m.allowed())
	if q.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return NewProblem(http.StatusMethodNotAllowed, "%s takes %s", q.URL.Path, m.allowed())
}

func (m Methods) allowed() string {
	names := append(slices.Collect(maps.Keys(m)), http.MethodOptions)
	if m[http.MethodGet] != nil && m[http.MethodHead] == nil {
		names = append(names, http.MethodHead)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (r *Routes) adapt(f Func) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		began := time.Now()
		recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		if err := f(recorder, q); err != nil {
			r.answerError(recorder, q, err)
		}
		took := time.Since(began)
		r.cfg.Observe(Request{Method: q.Method, Pattern: q.Pattern, Status: recorder.status, Duration: took})
		r.cfg.Logger.Debug("request answered", "method", q.Method, "path", q.URL.Path, "status", recorder.status, "took", took)
	})
}

func (r *Routes) answerError(w http.ResponseWriter, q *http.Request, err error) {
	if p, ok := errors.AsType[*Problem](err); ok {
		WriteProblem(w, p)
		return
	}
	if q.Context().Err() != nil {
		return // the client has gone; what failed, failed for that
	}
	r.cfg.Logger.Error("request failed", "method", q.Method, "path", q.URL.Path, "error", err)
	if r.cfg.Transient(err) {
		w.Header().Set("Retry-After", "1")
		WriteProblem(w, NewProblem(http.StatusServiceUnavailable, "the service cannot do this now: try again"))
		return
	}
	WriteProblem(w, NewProblem(http.StatusInternalServerError, "the service has failed; its log says why"))
}

// statusRecorder remembers the status. Unwrap lets http.ResponseController
// reach what lies below.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
