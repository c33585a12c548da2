// Package orders is Order Service. It takes an order at once, PENDING, and then has a saga
// validate it: the others are asked by commands, and what they reply makes the order VALIDATED or REJECTED.
package orders

import (
	"database/sql"
	"embed"
	"fmt"

	"tidings.example/examples/ftgo/messages"
	"tidings.example/examples/shared/money"
	"tidings.example/examples/shared/sqldb"
	"tidings.example/examples/shared/wiring"
	"tidings.example/saga"
	"tidings.example/service"
)

// Name is the service's name.
const Name = messages.OrderService

//go:embed migrations
var migrations embed.FS

// State is where an order is in its life.
type State string

// An order goes from PENDING to VALIDATED or REJECTED, and stays there.
const (
	Pending   State = "PENDING"
	Validated State = "VALIDATED"
	Rejected  State = "REJECTED"
)

// An Order is a row of the service's table.
type Order struct {
	ID           string              `json:"orderId"`
	ConsumerID   string              `json:"consumerId"`
	RestaurantID string              `json:"restaurantId"`
	LineItems    []messages.LineItem `json:"lineItems"`
	State        State               `json:"state"`
	// Total is nil until it is known.
	Total *money.Money `json:"orderTotal"`
	// Reason is nil unless the order is REJECTED.
	Reason *Reason `json:"rejectionReason"`
}

// New returns the service: its HTTP handler, the sagas, and the relay that sends their commands.
func New(c wiring.Config) (*wiring.Part, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	s := newOrders(sqldb.DB{Database: c.DB}, messages.Names{Prefix: c.Names.Prefix})
	var err error
	s.sagas, err = c.Sagas(Name, s.createOrder)
	if err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	part, err := c.Part(wiring.Service{Name: Name, Migrations: migrations, Handler: s.routes(c.Routes(Name)),
		Inboxes: []service.Component{s.sagas}, Publishes: true})
	if err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	return part, nil
}

// orders is what the service does.
type orders struct {
	store       store
	createOrder *saga.Definition[CreateOrder]
	sagas       *saga.Manager[*sql.Tx]
}

func newOrders(db sqldb.DB, names messages.Names) *orders {
	s := &orders{store: store{db}}
	s.createOrder = defineCreateOrder(s.store, names)
	return s
}
