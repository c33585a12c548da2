package sampletest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"tidings.example/examples/shared/web"
)

// Answer is an HTTP answer, read.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Document is a JSON object.
type Document = map[string]any

// Request sends a request; body is sent as JSON if it is not empty.
func (r *Running) Request(method, path, body string) Answer {
	r.T.Helper()
	header := http.Header{}
	if body != "" {
		header.Set("Content-Type", "application/json")
	}
	return r.RequestWith(method, path, body, header)
}

// RequestWith sends a request with headers.
func (r *Running) RequestWith(method, path, body string, header http.Header) Answer {
	r.T.Helper()
	a, err := Send(r.T.Context(), method, r.URL+path, body, header)
	if err != nil {
		r.T.Fatal(err)
	}
	return a
}

// Create posts JSON, which must be answered with 201, and returns a member of the answer.
func (r *Running) Create(path, body, member string) string {
	r.T.Helper()
	a := r.Request("POST", path, body)
	if a.Status != http.StatusCreated {
		r.T.Fatalf("POST %s: %d %s", path, a.Status, a.Body)
	}
	return Decode[map[string]string](r.T, a)[member]
}

// Get returns the JSON at a path.
func (r *Running) Get(path string) Document {
	r.T.Helper()
	a := r.Request("GET", path, "")
	if a.Status != 200 {
		r.T.Fatalf("GET %s: %d %s", path, a.Status, a.Body)
	}
	return Decode[Document](r.T, a)
}

// Send sends a request and reads the answer.
func Send(ctx context.Context, method, url, body string, header http.Header) (Answer, error) {
	q, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	q.Header = header
	response, err := client.Do(q)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return Answer{response.StatusCode, response.Header, text}, err
}

// client follows no redirect, so that a test sees what the server answers.
var client = &http.Client{
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Decode reads the answer's JSON.
func Decode[T any](t testing.TB, a Answer) (v T) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(a.Body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("answer %d is not JSON: %v\n%s", a.Status, err, a.Body)
	}
	return v
}

// AmountOf is the text of money as it was sent.
func AmountOf(v any) string {
	m, _ := v.(Document)
	return fmt.Sprint(m["amount"])
}

// WantJSON checks a whole answer.
func WantJSON(t testing.TB, a Answer, status int, want string) {
	t.Helper()
	if got := strings.TrimSpace(string(a.Body)); a.Status != status || got != want {
		t.Errorf("answer is %d %s\nwant %d %s", a.Status, got, status, want)
	}
}

// WantProblem checks a problem document, and that its detail names the field.
func WantProblem(t testing.TB, a Answer, status int, field string) {
	t.Helper()
	if kind := a.Header.Get("Content-Type"); a.Status != status || kind != "application/problem+json" {
		t.Errorf("answer is %d %s %.300s\nwant a problem with %d", a.Status, kind, a.Body, status)
		return
	}
	p := Decode[web.Problem](t, a)
	if p.Status != status || p.Field != field || p.Title != http.StatusText(status) || p.Type == "" ||
		!strings.HasPrefix(p.Detail, field) || p.Detail == "" || strings.Contains(p.Detail, "\n") {
		t.Errorf("problem is %s\nwant status %d and field %q", a.Body, status, field)
	}
}
