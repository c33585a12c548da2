package customers

import (
	"database/sql"
	"errors"
	"net/http"

	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/web"
)

// maxName is the longest name of a customer, in characters.
const maxName = 200

// view is a customer as clients see it.
type view struct {
	ID        string      `json:"customerId"`
	Name      string      `json:"name"`
	Limit     money.Money `json:"creditLimit"`
	Available money.Money `json:"availableCredit"`
}

func viewOf(c Customer) view {
	return view{ID: c.ID, Name: c.Name, Limit: c.Limit, Available: c.Available()}
}

func (s *crediting) routes(r *web.Routes) http.Handler {
	r.Handle("/customers", web.Methods{http.MethodPost: s.postCustomer, http.MethodGet: s.listCustomers})
	r.Handle("/customers/{id}", web.Methods{http.MethodGet: s.getCustomer})
	return r
}

func (s *crediting) postCustomer(w http.ResponseWriter, r *http.Request) error {
	var name string
	var limit money.Money
	if err := web.ReadObject(w, r, web.Text("name", &name, maxName), web.Amount("creditLimit", &limit)); err != nil {
		return err
	}
	c, err := s.create(r.Context(), name, limit)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/customers/"+c.ID)
	web.WriteJSON(w, http.StatusCreated, map[string]string{"customerId": c.ID})
	return nil
}

func (s *crediting) getCustomer(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if !web.ValidID(id) {
		return web.NotFound("customer %q", id)
	}
	c, err := s.store.get(r.Context(), id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return web.NotFound("customer %s", id)
	case err != nil:
		return err
	}
	web.WriteJSON(w, http.StatusOK, viewOf(c))
	return nil
}

func (s *crediting) listCustomers(w http.ResponseWriter, r *http.Request) error {
	p, err := web.ReadPage(r)
	if err != nil {
		return err
	}
	all, err := s.store.list(r.Context(), p)
	if err != nil {
		return err
	}
	views := make([]view, len(all))
	for i, c := range all {
		views[i] = viewOf(c)
	}
	page, next := web.Cut(w, p, views, func(v view) string { return v.ID })
	web.WriteJSON(w, http.StatusOK, struct {
		Customers []view `json:"customers"`
		Next      string `json:"next,omitempty"`
	}{page, next})
	return nil
}
