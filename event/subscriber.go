package event

import (
	"context"
	"errors"
	"slices"
	"sync"

	"tidings.example"
	"tidings.example/inbox"
)

// A Subscriber routes events to handlers. Register the handlers with [On],
// then make an inbox of it with [Subscriber.Inbox].
type Subscriber[Tx any] struct {
	name     string
	channels []string
	routes   map[routeKey]inbox.Handler[Tx]
	// untold are the handlers for messages without the aggregate's name, by
	// channel and type; nil where several aggregates have such a type.
	untold  map[routeKey]inbox.Handler[Tx]
	errs    []error
	skipped skips
}

// routeKey is what decides who handles a message.
type routeKey struct{ channel, aggregate, eventType string }

// NewSubscriber returns a subscriber without handlers. Its name is that of its
// inbox and of its consumer group; it must not change later.
func NewSubscriber[Tx any](name string) *Subscriber[Tx] {
	return &Subscriber[Tx]{name: name, routes: map[routeKey]inbox.Handler[Tx]{}, untold: map[routeKey]inbox.Handler[Tx]{}}
}

// Name is the subscriber's name.
func (s *Subscriber[Tx]) Name() string { return s.name }

// Err returns what is wrong with the registered handlers: a type registered
// twice, an invalid name. Inbox returns it too.
func (s *Subscriber[Tx]) Err() error { return errors.Join(s.errs...) }

// Channels are the channels of all registered aggregates.
func (s *Subscriber[Tx]) Channels() []string { return slices.Clone(s.channels) }

// Inbox returns an inbox that receives for the subscriber. Set at least Store
// and Broker; Subscriber, Channels and Handler come from s.
func (s *Subscriber[Tx]) Inbox(cfg inbox.Config[Tx]) (*inbox.Inbox[Tx], error) {
	switch {
	case len(s.errs) > 0:
		return nil, errf("subscriber %q: %w", s.name, s.Err())
	case len(s.routes) == 0:
		return nil, errf("subscriber %q has no handlers: register one with event.On", s.name)
	case cfg.Subscriber != "" || cfg.Channels != nil || cfg.Handler != nil:
		return nil, errf("subscriber %q: leave Subscriber, Channels and Handler of the inbox's configuration empty", s.name)
	}
	cfg.Subscriber, cfg.Channels, cfg.Handler = s.name, s.Channels(), s.Handle
	return inbox.New(cfg)
}

// Handle is the subscriber as the handler of an inbox made by hand. Messages of
// types without a handler are counted and otherwise ignored. Where the
// registration is wrong (see Err), it returns an error that holds everything up.
func (s *Subscriber[Tx]) Handle(ctx context.Context, tx Tx, m *tidings.Message) error {
	if len(s.errs) > 0 {
		return inbox.Transient(errf("subscriber %q: %w", s.name, s.Err()))
	}
	aggregate := m.Headers[HeaderAggregateType]
	key := routeKey{channel: m.Channel, aggregate: aggregate, eventType: m.Type}
	handle, ok := s.routes[key]
	if aggregate == "" {
		handle, ok = s.untold[key]
	}
	switch {
	case !ok:
		s.skipped.add(m.Channel, m.Type)
		return nil
	case handle == nil:
		return inbox.Permanent(errf("type %s of channel %s belongs to several aggregates, and the message has no header %q",
			m.Type, m.Channel, HeaderAggregateType))
	}
	return handle(ctx, tx, m)
}

// Skipped returns which types were skipped for lack of a handler, and how often.
// A message that was tried several times is counted each time.
func (s *Subscriber[Tx]) Skipped() []Skip { return s.skipped.list() }

// Skip counts skipped messages of one type.
type Skip struct {
	Channel, Type string
	Count         uint64
}

// maxSkips bounds the types that are counted apart; the rest is counted
// together under the type "", since types come from outside.
const maxSkips = 200

type skips struct {
	mu     sync.Mutex
	counts []Skip
}

func (s *skips) add(channel, eventType string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.counts) >= maxSkips && s.find(channel, eventType) < 0 {
		channel, eventType = "", ""
	}
	i := s.find(channel, eventType)
	if i < 0 {
		i = len(s.counts)
		s.counts = append(s.counts, Skip{Channel: channel, Type: eventType})
	}
	s.counts[i].Count++
}

func (s *skips) find(channel, eventType string) int {
	return slices.IndexFunc(s.counts, func(c Skip) bool { return c.Channel == channel && c.Type == eventType })
}

func (s *skips) list() []Skip {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.counts)
}
