package gateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/examples/customers-orders/events"
)

// feed takes every message of the sample from the broker and shows it. It has
// no inbox, since it changes nothing: a message that comes twice is shown twice.
type feed struct {
	broker broker.Subscriber
	names  events.Names
	hub    *hub
	logger *slog.Logger
}

func (f *feed) Name() string { return "message feed" }

// Ready is always nil: without the feed the gateway does its work, and where
// the broker is away, the services say so.
func (f *feed) Ready() error { return nil }

func (f *feed) Run(ctx context.Context) error {
	s := broker.Subscription{
		Subscriber: f.names.Subscriber(Name),
		Channels:   []string{f.names.Orders().Channel, f.names.Customers().Channel},
	}
	return f.broker.Subscribe(ctx, s, func(_ context.Context, d broker.Delivery) {
		if d.Err != nil {
			f.logger.Warn("message cannot be read", "channel", d.Message.Channel, "error", d.Err)
		} else {
			f.hub.publish(shownOf(&d.Message))
		}
		d.Ack()
	})
}

// maxShown bounds a payload that is shown, in bytes.
const maxShown = 8 << 10

// shown is a message as the page gets it.
type shown struct {
	ID            string          `json:"id"`
	Time          time.Time       `json:"time"`
	Source        string          `json:"source"`
	Channel       string          `json:"channel"`
	Key           string          `json:"key"`
	Type          string          `json:"type"`
	Lane          int             `json:"lane"`
	Sequence      uint64          `json:"sequence"`
	CausationID   string          `json:"causationId,omitempty"`
	CorrelationID string          `json:"correlationId,omitempty"`
	Data          json.RawMessage `json:"data,omitempty"`
}

func shownOf(m *tidings.Message) shown {
	s := shown{ID: m.ID, Time: m.Time, Source: m.Source, Channel: m.Channel, Key: m.Key, Type: m.Type,
		Lane: m.Stamp.Lane, Sequence: m.Stamp.Sequence,
		CausationID: m.Headers[tidings.HeaderCausationID], CorrelationID: m.Headers[tidings.HeaderCorrelationID]}
	if len(m.Payload) <= maxShown && json.Valid(m.Payload) {
		s.Data = m.Payload
	}
	return s
}
