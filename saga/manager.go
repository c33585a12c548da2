package saga

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/inbox"
	"tidings.example/outbox"
	"tidings.example/saga/machine"
	"tidings.example/timer"
)

// Config says which sagas a service runs, and where. Name, Store, Outbox, Inbox,
// Broker and Definitions are required.
type Config[Tx any] struct {
	// Name is the service's name. Replies come to the channel, and the subscriber, Name + ".saga-replies".
	// It must not change while sagas run.
	Name string
	// Store, Outbox and Inbox are those of one database, the service's own.
	Store  Store[Tx]
	Outbox *outbox.Outbox[Tx]
	Inbox  inbox.Storage[Tx]
	// Broker delivers replies and events.
	Broker broker.Subscriber
	// Definitions are all sagas of the database, children included: one manager runs them.
	Definitions []AnyDefinition

	// Concurrency and BatchSize are those of the inbox. Defaults 16 and 32.
	Concurrency, BatchSize int
	// Retention is how long a saga is kept after its end, with its journal. Then its id may be
	// used again, and replies that come yet are those of an unknown saga. Default: for ever.
	Retention time.Duration
	// Poll is the longest time between two looks at the database for sagas
	// that are due: how late a timeout may be noticed that another process has set. Default 1 s.
	Poll time.Duration
	// Now is the clock of deadlines. Default time.Now.
	Now func() time.Time
	// Jitter returns the chance, from 0 to 1, that the waits between attempts depend on. Default math/rand.
	Jitter func() float64
	// Logger gets what people should know. Default: nothing is logged.
	Logger *slog.Logger
	// Observer is told what happens to sagas; it may be nil.
	Observer Observer
	// InboxObserver is told what becomes of replies and events; it may be nil.
	InboxObserver inbox.Observer
}

// An Observer is told what happens to sagas. It is called before the
// transaction commits: what it is told may be rolled back, and told again.
type Observer interface {
	// Recorded is called for each journal entry.
	Recorded(ref Ref, e machine.Entry)
	// Ended is called when a saga ends.
	Ended(ref Ref, s machine.State, took time.Duration)
	// Unknown is called for a reply or an event for a saga that is not there.
	Unknown(ref Ref)
}

// A Manager runs the sagas of a service. It is a component of package service;
// several processes of a service may run one each, on the same database.
type Manager[Tx any] struct {
	cfg         Config[Tx]
	definitions map[string]AnyDefinition
	prints      map[string]string
	awaited     map[eventKey][]awaited
	inbox       *inbox.Inbox[Tx]
	timers      *timer.Runner
	waiters     waiters

	mu    sync.Mutex
	tried map[localKey]tried
	ready error
}

type eventKey struct{ channel, name string }

// New returns a manager, or an error that says what is wrong with the
// configuration or a definition. Nothing is read or written before Run.
func New[Tx any](cfg Config[Tx]) (*Manager[Tx], error) {
	m := &Manager[Tx]{cfg: cfg, definitions: map[string]AnyDefinition{}, prints: map[string]string{},
		awaited: map[eventKey][]awaited{}, tried: map[localKey]tried{}, ready: errors.New("has not started")}
	if err := m.cfg.complete(); err != nil {
		return nil, fmt.Errorf("saga: %w", err)
	}
	if err := m.define(); err != nil {
		return nil, fmt.Errorf("saga: %w", err)
	}
	var err error
	m.inbox, err = inbox.New(inbox.Config[Tx]{Subscriber: m.ReplyChannel(), Store: m.cfg.Inbox, Broker: m.cfg.Broker, Channels: m.Channels(),
		Handler: m.Handle, Concurrency: m.cfg.Concurrency, BatchSize: m.cfg.BatchSize, Logger: m.cfg.Logger,
		Observer: m.cfg.InboxObserver})
	if err != nil {
		return nil, fmt.Errorf("saga: %w", err)
	}
	m.timers, err = timer.NewRunner(timer.Config{Name: m.cfg.Name + ".saga-timers", Sources: []timer.Source{m.Timers()}, Now: m.cfg.Now, Poll: m.cfg.Poll, Logger: m.cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("saga: %w", err)
	}
	return m, nil
}

func (c *Config[Tx]) complete() error {
	if err := tidings.ValidateName("name", c.Name); err != nil {
		return err
	}
	switch {
	case c.Store == nil:
		return errors.New("the field Store is missing")
	case c.Outbox == nil:
		return errors.New("the field Outbox is missing")
	case c.Inbox == nil:
		return errors.New("the field Inbox is missing")
	case c.Broker == nil:
		return errors.New("the field Broker is missing")
	case len(c.Definitions) == 0:
		return errors.New("the field Definitions is empty: name at least one saga")
	case c.Retention < 0:
		return fmt.Errorf("the field Retention is %s, less than 0", c.Retention)
	case c.Poll < 0:
		return fmt.Errorf("the field Poll is %s, less than 0", c.Poll)
	}
	if c.BatchSize == 0 {
		c.BatchSize = 32
	}
	if c.Poll == 0 {
		c.Poll = time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func (m *Manager[Tx]) define() error {
	for _, d := range m.cfg.Definitions {
		if d == nil {
			return errors.New("a definition is nil")
		}
		if err := d.Err(); err != nil {
			return err
		}
		name := d.Name()
		if m.definitions[name] != nil {
			return fmt.Errorf("two definitions have the name %q", name)
		}
		for step, tx := range d.transactions() {
			if tx != reflect.TypeFor[Tx]() {
				return fmt.Errorf("saga %q: step %q works in transactions of type %s, the manager's store in %s", name, step, tx, reflect.TypeFor[Tx]())
			}
		}
		m.definitions[name], m.prints[name] = d, d.Plan().Fingerprint()
		for _, a := range d.awaited() {
			key := eventKey{a.aggregate.Channel, a.name}
			m.awaited[key] = append(m.awaited[key], a)
		}
	}
	for name, d := range m.definitions {
		for _, child := range children(d.Plan().Steps) {
			if m.definitions[child] == nil {
				return fmt.Errorf("saga %q starts sagas of type %q, which is not in Definitions: add it", name, child)
			}
		}
	}
	return nil
}

func children(steps []machine.Step) []string {
	var names []string
	for _, s := range steps {
		if s.Kind == machine.Saga {
			names = append(names, s.Type)
		}
		names = append(names, children(s.Members)...)
	}
	return names
}

// ReplySuffix follows a service's name in the name of the channel of its replies.
const ReplySuffix = ".saga-replies"

// ReplyChannel is the channel that participants send their replies to.
func (m *Manager[Tx]) ReplyChannel() string { return m.cfg.Name + ReplySuffix }

// Channels are the channels that the manager receives from, replies first.
func (m *Manager[Tx]) Channels() []string {
	names := []string{m.ReplyChannel()}
	for key := range m.awaited {
		if !slices.Contains(names, key.channel) {
			names = append(names, key.channel)
		}
	}
	slices.Sort(names[1:])
	return names
}

// Name implements service.Component.
func (m *Manager[Tx]) Name() string { return "sagas of " + m.cfg.Name }

// Run takes replies and events, and does what is due, until ctx is done.
//
// At first it looks whether all unfinished sagas can go on under their
// definitions: an [IncompatibleError] names those that cannot, and nothing is begun.
func (m *Manager[Tx]) Run(ctx context.Context) error {
	if err := m.begin(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var parts sync.WaitGroup
	var errs [2]error
	for i, run := range []func(context.Context) error{m.inbox.Run, m.timers.Run} {
		parts.Go(func() {
			errs[i] = run(ctx)
			cancel()
		})
	}
	parts.Wait()
	return errors.Join(errs[:]...)
}

// Ready implements service.Component.
func (m *Manager[Tx]) Ready() error {
	m.mu.Lock()
	ready := m.ready
	m.mu.Unlock()
	if ready != nil {
		return ready
	}
	if err := m.inbox.Ready(); err != nil {
		return err
	}
	return m.timers.Ready()
}

// InboxStats describes the inbox that takes replies and events.
func (m *Manager[Tx]) InboxStats() inbox.Stats { return m.inbox.Stats() }

func (m *Manager[Tx]) setReady(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ready = err
}

func (m *Manager[Tx]) now() time.Time { return m.cfg.Now().UTC().Truncate(time.Microsecond) }
