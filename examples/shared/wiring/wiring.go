// Package wiring is how a service of a sample is put together: handlers become
// inboxes, the outbox gets a relay, and both wait for what they need. To test a service, make its Part on a SQLite file and broker/inproc.
package wiring

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"

	"tidings.example/event"
	"tidings.example/examples/shared/sqldb"
	"tidings.example/examples/shared/web"
	"tidings.example/inbox"
	"tidings.example/internal/connect"
	"tidings.example/relay"
	"tidings.example/service"
)

// Config is what a service of a sample needs. DB and Broker are required.
type Config struct {
	// DB is the service's own database, which no other service touches.
	DB     *connect.Database
	Broker *connect.Broker
	// Names are the names on the broker; they are the same for all services.
	Names Names
	// BatchSize is how many messages may share one transaction. Default 32.
	BatchSize int
	// WithoutRelay leaves the outbox to a relay that runs elsewhere.
	WithoutRelay bool
	// Logger gets what people should know. Default: nothing is logged.
	Logger *slog.Logger
	// Metrics gets figures of the relay, the inbox and requests; it may be nil.
	Metrics *Metrics
}

const defaultBatch = 32

// Validate returns an error naming the field that is missing.
func (c Config) Validate() error {
	switch {
	case c.DB == nil:
		return errors.New("the field DB is missing")
	case c.Broker == nil:
		return errors.New("the field Broker is missing")
	}
	return nil
}

// A Part is one service: its HTTP handler, and what runs in the background.
type Part struct {
	Name    string
	Handler http.Handler
	// Inboxes receive messages.
	Inboxes []service.Component
	// Relay is nil for a service that publishes nothing, or whose relay runs elsewhere.
	Relay service.Component
	// Background is what else runs; one of it is ready while the database is.
	Background []service.Component
	migrate    func(ctx context.Context) error
}

// Migrate creates the tables that are missing. It is called before anything runs.
func (p *Part) Migrate(ctx context.Context) error { return p.migrate(ctx) }

// A Service is what a service of a sample consists of.
type Service struct {
	Name string
	// Migrations has a folder of SQL files for each kind of database.
	Migrations fs.FS
	Handler    http.Handler
	// Receivers hold the handlers of what the service receives.
	Receivers []Receiver
	// Inboxes receive messages too, and bring their own inbox.
	Inboxes []service.Component
	// Background is what else runs all the time.
	Background []service.Component
	// Publishes says whether there is an outbox to empty.
	Publishes bool
	// Concurrency is how many transactions may handle messages at the same
	// time. Default: the inbox's.
	Concurrency int
}

// A Receiver is handlers that want an inbox, such as [event.Subscriber].
type Receiver interface {
	Name() string
	Inbox(cfg inbox.Config[*sql.Tx]) (*inbox.Inbox[*sql.Tx], error)
}

var _ Receiver = (*event.Subscriber[*sql.Tx])(nil)

// Part puts a service together.
func (c Config) Part(s Service) (*Part, error) {
	logger := c.logger(s.Name)
	channels := NewChannels(c.Broker, c.Names, logger)
	part := &Part{Name: s.Name, Handler: s.Handler, Background: append([]service.Component{database{s.Name, c.DB}}, s.Background...),
		migrate: func(ctx context.Context) error { return sqldb.DB{Database: c.DB}.Migrate(ctx, s.Name, s.Migrations) }}
	for _, r := range s.Receivers {
		in, err := c.inbox(r, s.Concurrency, logger)
		if err != nil {
			return nil, err
		}
		part.Inboxes = append(part.Inboxes, channels.Before(in))
	}
	for _, in := range s.Inboxes {
		part.Inboxes = append(part.Inboxes, channels.Before(in))
		part.Background = append(part.Background, c.watch(s.Name, in)...)
	}
	if c.WithoutRelay || !s.Publishes {
		return part, nil
	}
	r, err := c.relay(c.Names.Source(s.Name), logger)
	if err != nil {
		return nil, err
	}
	part.Relay = channels.Before(r)
	return part, nil
}

// Routes returns routes that report as the configuration says.
func (c Config) Routes(name string) *web.Routes {
	return web.NewRoutes(web.Config{Logger: c.logger(name), Transient: sqldb.DB{Database: c.DB}.Repeatable, Observe: c.Metrics.RequestsOf(name)})
}

func (c Config) inbox(r Receiver, concurrency int, logger *slog.Logger) (*inbox.Inbox[*sql.Tx], error) {
	cfg := inbox.Config[*sql.Tx]{Store: c.DB.Inbox, Broker: c.Broker, BatchSize: cmp.Or(c.BatchSize, defaultBatch),
		Concurrency: concurrency, Logger: logger}
	if c.Metrics != nil {
		cfg.Observer = c.Metrics.tidings.InboxObserver()
	}
	in, err := r.Inbox(cfg)
	if err == nil && c.Metrics != nil {
		c.Metrics.tidings.WatchInbox(r.Name(), in.Stats)
	}
	return in, err
}

func (c Config) relay(source string, logger *slog.Logger) (*relay.Relay, error) {
	cfg := relay.Config{Source: c.DB.Relay(source), Broker: c.Broker, Logger: logger}
	if c.Metrics != nil {
		cfg.Observer = c.Metrics.tidings.RelayObserver()
	}
	r, err := relay.New(cfg)
	if err == nil && c.Metrics != nil {
		c.Metrics.tidings.WatchRelay(source, r.Stats)
	}
	return r, err
}

func (c Config) logger(name string) *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger.With("service", name)
}
