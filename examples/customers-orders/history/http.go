package history

import (
	"database/sql"
	"errors"
	"net/http"

	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/web"
)

func (v *view) routes(r *web.Routes) http.Handler {
	r.Handle("/customers/{id}/orderhistory", web.Methods{http.MethodGet: v.getHistory})
	return r
}

// getHistory answers 404 until the view has heard of the customer, which is a
// moment after the customers service has created it.
func (v *view) getHistory(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if !web.ValidID(id) {
		return web.NotFound("customer %q", id)
	}
	p, err := web.ReadPage(r)
	if err != nil {
		return err
	}
	c, err := v.customer(r.Context(), id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return web.NotFound("customer %s", id)
	case err != nil:
		return err
	}
	all, err := v.orders(r.Context(), id, p)
	if err != nil {
		return err
	}
	page, next := web.Cut(w, p, all, func(o order) string { return o.ID })
	web.WriteJSON(w, http.StatusOK, struct {
		ID     string      `json:"customerId"`
		Name   string      `json:"name"`
		Limit  money.Money `json:"creditLimit"`
		Orders []order     `json:"orders"`
		Next   string      `json:"next,omitempty"`
	}{id, c.name, c.limit, page, next})
	return nil
}
