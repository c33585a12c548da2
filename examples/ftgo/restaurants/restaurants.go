// Package restaurants is Restaurant Service: it knows restaurants, their menus and
// prices. Others ask it by commands whether a restaurant has what is ordered, and what it costs.
package restaurants

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"fmt"

	"tidings.example"
	"tidings.example/command"
	"tidings.example/examples/ftgo/messages"
	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/sqldb"
	"tidings.example/examples/shared/wiring"
	"tidings.example/service"
)

// Name is the service's name.
const Name = messages.RestaurantService

//go:embed migrations
var migrations embed.FS

// A Restaurant is what the service knows of one.
type Restaurant struct {
	Summary
	Menu Menu `json:"menu"`
}

// A Summary is a restaurant in a list.
type Summary struct {
	ID   string `json:"restaurantId"`
	Name string `json:"name"`
	// Address is a JSON string, or an object of strings.
	Address json.RawMessage `json:"address"`
}

// A Menu is what a restaurant offers.
type Menu struct {
	Items []MenuItem `json:"menuItems"`
}

// A MenuItem is a dish and its price. Its id is the restaurant's own.
type MenuItem struct {
	ID    string      `json:"id"`
	Name  string      `json:"name"`
	Price money.Money `json:"price"`
}

// New returns the service: its HTTP handler, the inbox that receives its commands,
// and the relay that sends its replies.
func New(c wiring.Config) (*wiring.Part, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	s := &restaurants{store{sqldb.DB{Database: c.DB}}}
	receiver := s.receiver(messages.Names{Prefix: c.Names.Prefix})
	part, err := c.Part(wiring.Service{Name: Name, Migrations: migrations, Handler: s.routes(c.Routes(Name)),
		Receivers: []wiring.Receiver{receiver}, Background: []service.Component{receiver.Upkeep()}, Publishes: true})
	if err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	return part, nil
}

// restaurants is what the service does.
type restaurants struct{ store store }

func (s *restaurants) create(ctx context.Context, r *Restaurant) error {
	r.ID = tidings.NewID()
	err := s.store.db.InTx(ctx, func(tx *sql.Tx) error { return s.store.insert(ctx, tx, r) })
	if err != nil {
		return fmt.Errorf("create restaurant: %w", err)
	}
	return nil
}

func (s *restaurants) receiver(names messages.Names) *command.Receiver[*sql.Tx] {
	r := command.NewReceiver(names.Prefix+Name, s.store.db.Outbox, s.store.db.Commands)
	command.On(r, names.Restaurants(), s.validateOrderDetails)
	return r
}
