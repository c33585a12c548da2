package orders

import (
	"database/sql"
	"errors"
	"net/http"

	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/web"
)

func (s *ordering) routes(r *web.Routes) http.Handler {
	r.Handle("/orders", web.Methods{http.MethodPost: s.postOrder, http.MethodGet: s.listOrders})
	r.Handle("/orders/{id}", web.Methods{http.MethodGet: s.getOrder})
	r.Handle("/orders/{id}/cancel", web.Methods{http.MethodPost: s.postCancel})
	return r
}

func (s *ordering) postOrder(w http.ResponseWriter, r *http.Request) error {
	var customerID string
	var total money.Money
	if err := web.ReadObject(w, r, web.ID("customerId", &customerID), web.Amount("orderTotal", &total)); err != nil {
		return err
	}
	o, err := s.create(r.Context(), customerID, total)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/orders/"+o.ID)
	web.WriteJSON(w, http.StatusCreated, map[string]string{"orderId": o.ID})
	return nil
}

func (s *ordering) getOrder(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	o, err := s.store.get(r.Context(), id)
	if err != nil {
		return orNotFound(err, id)
	}
	web.WriteJSON(w, http.StatusOK, o)
	return nil
}

func (s *ordering) listOrders(w http.ResponseWriter, r *http.Request) error {
	p, err := web.ReadPage(r)
	if err != nil {
		return err
	}
	all, err := s.store.list(r.Context(), p)
	if err != nil {
		return err
	}
	page, next := web.Cut(w, p, all, func(o Order) string { return o.ID })
	web.WriteJSON(w, http.StatusOK, struct {
		Orders []Order `json:"orders"`
		Next   string  `json:"next,omitempty"`
	}{page, next})
	return nil
}

func (s *ordering) postCancel(w http.ResponseWriter, r *http.Request) error {
	if err := web.ReadNothing(w, r); err != nil {
		return err
	}
	id, err := pathID(r)
	if err != nil {
		return err
	}
	o, err := s.cancel(r.Context(), id)
	switch {
	case errors.Is(err, errNotApproved):
		return web.NewProblem(http.StatusConflict, "order %s is %s: %v", id, o.State, errNotApproved)
	case err != nil:
		return orNotFound(err, id)
	}
	web.WriteJSON(w, http.StatusOK, o)
	return nil
}

// pathID returns the id in the path. One that no order can have is not looked up.
func pathID(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !web.ValidID(id) {
		return "", web.NotFound("order %q", id)
	}
	return id, nil
}

func orNotFound(err error, id string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return web.NotFound("order %s", id)
	}
	return err
}
