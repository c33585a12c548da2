package orders

import (
	"database/sql"
	"errors"
	"net/http"

	"tidings.example/examples/ftgo/messages"
	"tidings.example/examples/shared/web"
)

const (
	// maxLineItems is how many different things an order may be about.
	maxLineItems = 100
	// maxQuantity is how many of each.
	maxQuantity = 1000
)

func (s *orders) routes(r *web.Routes) http.Handler {
	r.Handle("/orders", web.Methods{http.MethodPost: s.post, http.MethodGet: s.list})
	r.Handle("/orders/{id}", web.Methods{http.MethodGet: s.get})
	return r
}

func (s *orders) post(w http.ResponseWriter, r *http.Request) error {
	var consumer, restaurant string
	var items []*messages.LineItem
	err := web.ReadObject(w, r, web.ID("consumerId", &consumer), web.ID("restaurantId", &restaurant),
		web.List("lineItems", maxLineItems, func() []web.Member {
			i := &messages.LineItem{}
			items = append(items, i)
			return []web.Member{web.ID("menuItemId", &i.MenuItemID), web.Count("quantity", &i.Quantity, maxQuantity)}
		}))
	if err != nil {
		return err
	}
	lines := make([]messages.LineItem, len(items))
	for i, item := range items {
		lines[i] = *item
	}
	id, err := s.create(r.Context(), consumer, restaurant, lines)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/orders/"+id)
	web.WriteJSON(w, http.StatusCreated, map[string]string{"orderId": id})
	return nil
}

func (s *orders) get(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if !web.ValidID(id) {
		return web.NotFound("order %q", id)
	}
	o, err := s.store.get(r.Context(), id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return web.NotFound("order %s", id)
	case err != nil:
		return err
	}
	web.WriteJSON(w, http.StatusOK, o)
	return nil
}

func (s *orders) list(w http.ResponseWriter, r *http.Request) error {
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
