package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tidings.example/examples/shared/money"
)

// readOrder reads the body of a request as the orders service does.
func readOrder(body string) (customer string, total money.Money, err error) {
	r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	err = ReadObject(httptest.NewRecorder(), r, ID("customerId", &customer), Amount("orderTotal", &total))
	return customer, total, err
}

func TestReadObject(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"customerId":"c-1","orderTotal":{"amount":12.34}}`,
		" {\n\"orderTotal\" : { \"amount\" : 1234e-2 } , \"customerId\":\"c-\\u0031\" }\r\n",
	} {
		customer, total, err := readOrder(body)
		if err != nil || customer != "c-1" || total != 1234 {
			t.Errorf("%s became %q and %d, %v", body, customer, total, err)
		}
	}
}

func TestProblemsNameLongFieldsInShort(t *testing.T) {
	t.Parallel()
	_, _, err := readOrder(`{"` + strings.Repeat("é", 1000) + `":1}`)
	p, ok := errors.AsType[*Problem](err)
	if !ok || len(p.Detail) > 200 || p.Status != 400 {
		t.Errorf("the error is %v", err)
	}
}

// FuzzReadObject: whatever is sent, the answer is a valid order or a problem
// that a client can act on.
func FuzzReadObject(f *testing.F) {
	for _, seed := range []string{
		`{"customerId":"c","orderTotal":{"amount":12.34}}`, `{"customerId":"c","orderTotal":{"amount":NaN}}`, `{"customerId":{}}`,
		`[]`, ``, `{"customerId":"c","customerId":"d"}`, `{"a":{"b":[{"c":1}]}}`, "{\"\xff\":1}", `{"customerId":"c","orderTotal":{"amount":1}}}`, `{`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		customer, total, err := readOrder(body)
		if err == nil {
			if !ValidID(customer) || total <= 0 || total > money.Max {
				t.Fatalf("%q became %q and %d", body, customer, total)
			}
			return
		}
		p, ok := errors.AsType[*Problem](err)
		if !ok || p.Status < 400 || p.Status > 499 || p.Detail == "" {
			t.Fatalf("%q: %v is no problem for a client", body, err)
		}
	})
}

func TestErrorsOfHandlers(t *testing.T) {
	t.Parallel()
	transient := errors.New("the database is away at 10.0.0.7")
	r := NewRoutes(Config{Transient: func(err error) bool { return errors.Is(err, transient) }})
	r.Handle("/busy", Methods{http.MethodGet: func(http.ResponseWriter, *http.Request) error { return transient }})
	r.Handle("/broken", Methods{http.MethodGet: func(http.ResponseWriter, *http.Request) error { return errors.New("secret") }})
	for path, status := range map[string]int{"/busy": 503, "/broken": 500, "/other": 404} {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if body := w.Body.String(); w.Code != status || strings.Contains(body, "secret") || strings.Contains(body, "10.0.0.7") {
			t.Errorf("%s answers %d %s, want %d without the cause", path, w.Code, body, status)
		}
	}
}

func TestObserved(t *testing.T) {
	t.Parallel()
	var seen []Request
	r := NewRoutes(Config{Observe: func(q Request) { q.Duration = 0; seen = append(seen, q) }})
	r.Handle("/things/{id}", Methods{http.MethodGet: func(w http.ResponseWriter, _ *http.Request) error {
		WriteJSON(w, http.StatusOK, "thing")
		return nil
	}})
	for _, method := range []string{"GET", "HEAD", "PUT", "OPTIONS"} {
		r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, "/things/7", nil))
	}
	want := []Request{{"GET", "/things/{id}", 200, 0}, {"HEAD", "/things/{id}", 200, 0}, {"PUT", "/things/{id}", 405, 0}, {"OPTIONS", "/things/{id}", 204, 0}}
	for i, w := range want {
		if i >= len(seen) || seen[i] != w {
			t.Errorf("request %d is %v, want %v", i, seen, w)
		}
	}
}
