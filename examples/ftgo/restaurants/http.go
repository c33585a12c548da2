package restaurants

import (
	"database/sql"
	"errors"
	"fmt"
	"net/http"

	"tidings.example/examples/shared/web"
)

const (
	// maxText is the longest name, and the longest part of an address, in characters.
	maxText = 200
	// maxMenu is how many items a menu may have.
	maxMenu = 500
)

func (s *restaurants) routes(r *web.Routes) http.Handler {
	r.Handle("/restaurants", web.Methods{http.MethodPost: s.post, http.MethodGet: s.list})
	r.Handle("/restaurants/{id}", web.Methods{http.MethodGet: s.get})
	return r
}

func (s *restaurants) post(w http.ResponseWriter, r *http.Request) error {
	made, err := read(w, r)
	if err != nil {
		return err
	}
	if err := s.create(r.Context(), made); err != nil {
		return err
	}
	w.Header().Set("Location", "/restaurants/"+made.ID)
	// Both names, because clients of menus say id and those of orders restaurantId.
	web.WriteJSON(w, http.StatusCreated, map[string]string{"id": made.ID, "restaurantId": made.ID})
	return nil
}

// read returns the restaurant that a request describes. A menu names each item once.
func read(w http.ResponseWriter, r *http.Request) (*Restaurant, error) {
	made := &Restaurant{}
	var items []*MenuItem
	menu := web.List("menuItems", maxMenu, func() []web.Member {
		i := &MenuItem{}
		items = append(items, i)
		return []web.Member{web.ID("id", &i.ID), web.Text("name", &i.Name, maxText), web.AmountOrText("price", &i.Price)}
	})
	err := web.ReadObject(w, r, web.Text("name", &made.Name, maxText), web.TextOrParts("address", &made.Address, maxText), web.Object("menu", menu))
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for n, i := range items {
		if seen[i.ID] {
			return nil, web.BadField(fmt.Sprintf("menu.menuItems[%d].id", n), "is there twice")
		}
		seen[i.ID] = true
		made.Menu.Items = append(made.Menu.Items, *i)
	}
	return made, nil
}

func (s *restaurants) get(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if !web.ValidID(id) {
		return web.NotFound("restaurant %q", id)
	}
	one, err := s.store.get(r.Context(), s.store.db.SQL, id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return web.NotFound("restaurant %s", id)
	case err != nil:
		return err
	}
	web.WriteJSON(w, http.StatusOK, one)
	return nil
}

func (s *restaurants) list(w http.ResponseWriter, r *http.Request) error {
	p, err := web.ReadPage(r)
	if err != nil {
		return err
	}
	all, err := s.store.list(r.Context(), p)
	if err != nil {
		return err
	}
	page, next := web.Cut(w, p, all, func(one Summary) string { return one.ID })
	web.WriteJSON(w, http.StatusOK, struct {
		Restaurants []Summary `json:"restaurants"`
		Next        string    `json:"next,omitempty"`
	}{page, next})
	return nil
}
