package consumers

import (
	"database/sql"
	"errors"
	"net/http"

	"tidings.example/examples/shared/web"
)

// maxName is the longest part of a name, in characters.
const maxName = 200

func (s *consumers) routes(r *web.Routes) http.Handler {
	r.Handle("/consumers", web.Methods{http.MethodPost: s.post, http.MethodGet: s.list})
	r.Handle("/consumers/{id}", web.Methods{http.MethodGet: s.get})
	return r
}

func (s *consumers) post(w http.ResponseWriter, r *http.Request) error {
	var c Consumer
	err := web.ReadObject(w, r,
		web.Object("name", web.Text("firstName", &c.Name.First, maxName), web.Text("lastName", &c.Name.Last, maxName)),
		web.AmountOrText("spendingLimit", &c.Limit))
	if err != nil {
		return err
	}
	if err := s.create(r.Context(), &c); err != nil {
		return err
	}
	w.Header().Set("Location", "/consumers/"+c.ID)
	web.WriteJSON(w, http.StatusCreated, map[string]string{"consumerId": c.ID})
	return nil
}

func (s *consumers) get(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if !web.ValidID(id) {
		return web.NotFound("consumer %q", id)
	}
	c, err := s.store.get(r.Context(), s.store.db.SQL, id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return web.NotFound("consumer %s", id)
	case err != nil:
		return err
	}
	web.WriteJSON(w, http.StatusOK, c)
	return nil
}

func (s *consumers) list(w http.ResponseWriter, r *http.Request) error {
	p, err := web.ReadPage(r)
	if err != nil {
		return err
	}
	all, err := s.store.list(r.Context(), p)
	if err != nil {
		return err
	}
	page, next := web.Cut(w, p, all, func(c Consumer) string { return c.ID })
	web.WriteJSON(w, http.StatusOK, struct {
		Consumers []Consumer `json:"consumers"`
		Next      string     `json:"next,omitempty"`
	}{page, next})
	return nil
}
