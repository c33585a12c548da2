// Package consumers is Consumer Service: it knows consumers and how much they may
// spend on one order. Others ask it by commands whether a consumer may place an order.
package consumers

import (
	"context"
	"database/sql"
	"embed"
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
const Name = messages.ConsumerService

//go:embed migrations
var migrations embed.FS

// A Consumer is a row of the service's table.
type Consumer struct {
	ID   string `json:"consumerId"`
	Name struct {
		First string `json:"firstName"`
		Last  string `json:"lastName"`
	} `json:"name"`
	// Limit bounds the total of each order.
	Limit money.Money `json:"spendingLimit"`
}

// New returns the service: its HTTP handler, the inbox that receives its commands,
// and the relay that sends its replies.
func New(c wiring.Config) (*wiring.Part, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	s := &consumers{store{sqldb.DB{Database: c.DB}}}
	receiver := s.receiver(messages.Names{Prefix: c.Names.Prefix})
	part, err := c.Part(wiring.Service{Name: Name, Migrations: migrations, Handler: s.routes(c.Routes(Name)),
		Receivers: []wiring.Receiver{receiver}, Background: []service.Component{receiver.Upkeep()}, Publishes: true})
	if err != nil {
		return nil, fmt.Errorf("make service %s: %w", Name, err)
	}
	return part, nil
}

// consumers is what the service does.
type consumers struct{ store store }

func (s *consumers) create(ctx context.Context, c *Consumer) error {
	c.ID = tidings.NewID()
	err := s.store.db.InTx(ctx, func(tx *sql.Tx) error { return s.store.insert(ctx, tx, c) })
	if err != nil {
		return fmt.Errorf("create consumer: %w", err)
	}
	return nil
}

func (s *consumers) receiver(names messages.Names) *command.Receiver[*sql.Tx] {
	r := command.NewReceiver(names.Prefix+Name, s.store.db.Outbox, s.store.db.Commands)
	command.On(r, names.Consumers(), s.validateConsumerInfo)
	return r
}
