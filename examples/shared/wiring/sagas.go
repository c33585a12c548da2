package wiring

import (
	"cmp"
	"database/sql"

	"tidings.example/saga"
	"tidings.example/service"
)

// Sagas returns the manager of a service's sagas, to start them with, and to be one of
// the service's Inboxes. The sample's channels must include its [RepliesTo].
func (c Config) Sagas(name string, definitions ...saga.AnyDefinition) (*saga.Manager[*sql.Tx], error) {
	cfg := saga.Config[*sql.Tx]{Name: c.Names.Subscriber(name), Store: c.DB.Sagas, Outbox: c.DB.Outbox, Inbox: c.DB.Inbox, Broker: c.Broker,
		Definitions: definitions, BatchSize: cmp.Or(c.BatchSize, defaultBatch), Logger: c.logger(name)}
	if c.Metrics != nil {
		cfg.Observer, cfg.InboxObserver = c.Metrics.tidings.SagaObserver(), c.Metrics.tidings.InboxObserver()
	}
	m, err := saga.New(cfg)
	if err == nil && c.Metrics != nil {
		c.Metrics.tidings.WatchInbox(m.ReplyChannel(), m.InboxStats)
	}
	return m, err
}

// RepliesTo is the channel, without a prefix, on which the sagas of a service get their replies.
func RepliesTo(service string) string { return service + ".saga-replies" }

// watch counts what the sagas of a service keep in its database.
func (c Config) watch(name string, in service.Component) []service.Component {
	if _, ok := in.(*saga.Manager[*sql.Tx]); !ok || c.Metrics == nil {
		return nil
	}
	return []service.Component{c.Metrics.tidings.WatchSagas(c.Names.Subscriber(name), c.DB.Admin, 0)}
}
