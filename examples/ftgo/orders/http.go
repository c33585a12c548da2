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
	var d CreateOrder
	var items []*messages.LineItem
	err := web.ReadObject(w, r, web.ID("consumerId", &d.ConsumerID), web.ID("restaurantId", &d.RestaurantID),
		web.List("lineItems", maxLineItems, func() []web.Member {
			i := &messages.LineItem{}
			items = append(items, i)
			return []web.Member{web.ID("menuItemId", &i.MenuItemID), web.Count("quantity", &i.Quantity, maxQuantity)}
		}))
	if err != nil {
		return err
	}
	for _, item := range items {
		d.LineItems = append(d.LineItems, *item)
	}
	if d.Key, err = idempotencyKey(r); err != nil {
		return err
	}
	id, err := s.create(r.Context(), d)
	switch {
	case errors.Is(err, errOtherOrder):
		return web.NewProblem(http.StatusUnprocessableEntity, "%v: choose a new one for each order", errOtherOrder)
	case err != nil:
		return err
	}
	w.Header().Set("Location", "/orders/"+id)
	web.WriteJSON(w, http.StatusCreated, map[string]string{"orderId": id})
	return nil
}

// idempotencyKey returns the key under which a client may repeat its request,
// empty for none. It may be in quotes.
func idempotencyKey(r *http.Request) (string, error) {
	const name = "Idempotency-Key"
	given := r.Header.Values(name)
	if len(given) == 0 {
		return "", nil
	}
	key := given[0]
	if len(key) > 1 && key[0] == '"' && key[len(key)-1] == '"' {
		key = key[1 : len(key)-1]
	}
	if len(given) > 1 || !web.ValidID(key) {
		return "", web.BadField(name, "must be there once, with 1 to 64 letters, digits, '.', '_' or '-'")
	}
	return key, nil
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
