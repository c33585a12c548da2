package customers

import (
	"context"
	"database/sql"
	"fmt"

	"tidings.example/command"
	"tidings.example/event"
	"tidings.example/examples/customers-orders/commands"
	"tidings.example/examples/customers-orders/events"
	"tidings.example/examples/shared/sqldb"
	"tidings.example/examples/shared/wiring"
	"tidings.example/service"
)

// NewParticipant returns the service in its second style: it reserves and
// releases credit when it is asked to, and does not listen to the events of orders.
func NewParticipant(c wiring.Config) (*wiring.Part, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	names := events.Names{Prefix: c.Names.Prefix}
	s := &crediting{store: store{sqldb.DB{Database: c.DB}}, events: event.NewPublisher(names.Customers(), c.DB.Outbox)}
	receiver := command.NewReceiver(names.Subscriber(Name), c.DB.Outbox, c.DB.Commands)
	participant := commands.Customers(names.Prefix)
	// Until the saga of an order has ended, nobody else has its credit released.
	command.On(receiver, participant, s.reserveCredit, command.Locking(func(c commands.ReserveCredit) string { return "Order/" + c.OrderID }))
	command.On(receiver, participant, s.releaseCredit, command.Respecting(func(c commands.ReleaseCredit) string { return "Order/" + c.OrderID }))
	part, err := c.Part(wiring.Service{Name: Name, Migrations: migrations, Handler: s.routes(c.Routes(Name)),
		Receivers: []wiring.Receiver{receiver}, Background: []service.Component{receiver.Upkeep()}, Publishes: true, Concurrency: 1})
	if err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	return part, nil
}

func (s *crediting) reserveCredit(ctx context.Context, tx *sql.Tx, c command.Of[commands.ReserveCredit]) (command.Answer, error) {
	order := events.Order{OrderID: c.Data.OrderID, CustomerID: c.Data.CustomerID, OrderTotal: c.Data.OrderTotal}
	why, err := s.reserve(ctx, tx, order)
	if err != nil {
		return command.Answer{}, err
	}
	if why != "" {
		return command.Fail(commands.CreditRefused{Reason: why}), nil
	}
	return command.Done(), nil
}

func (s *crediting) releaseCredit(ctx context.Context, tx *sql.Tx, c command.Of[commands.ReleaseCredit]) (command.Answer, error) {
	order := events.Order{OrderID: c.Data.OrderID, CustomerID: c.Data.CustomerID, OrderTotal: c.Data.OrderTotal}
	return command.Done(), s.release(ctx, tx, order)
}
