package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"tidings.example"
	"tidings.example/broker"
)

// A Handler does what a message asks for, in the transaction tx, which is the
// inbox's to commit. It may be called again for the same message after the
// transaction was rolled back, so effects belong in tx. ctx ends when the
// inbox's HandlerTimeout has passed, or when its DrainTimeout has. m must not be changed.
//
// nil commits. [Permanent] and [Transient] say what to do about an error; for
// others see [Config].
type Handler[Tx any] func(ctx context.Context, tx Tx, m *tidings.Message) error

// A GiveUp settles a message that the handler has failed at for good, instead of
// parking it: for example, it tells the sender. failure is the handler's last
// error. tx is a new transaction, in which the message is recorded as handled, so what it
// does there is done once. ctx is as a [Handler]'s.
//
// With settled false the message is parked after all, and what was done in tx
// is committed with that. An error rolls tx back, and is retried like one of the
// handler: after MaxAttempts, or when it is permanent, the message is parked.
type GiveUp[Tx any] func(ctx context.Context, tx Tx, m *tidings.Message, failure error) (settled bool, err error)

// Storage is both sides of a store's inbox: the Inbox method of a store's DB
// returns one.
type Storage[Tx any] interface {
	Store[Tx]
	ParkedStore[Tx]
}

// Config says what an inbox receives and how it handles it. Subscriber, Store,
// Broker, Channels and Handler are required.
type Config[Tx any] struct {
	// Subscriber names the receiver. All inboxes with the same name share the
	// messages, and must use the same database.
	Subscriber string
	// Store keeps the records in the database that the handler changes.
	Store Storage[Tx]
	// Broker delivers the messages of Channels.
	Broker   broker.Subscriber
	Channels []string
	Handler  Handler[Tx]
	// GiveUp, if not nil, is asked before a message is parked that the handler
	// has failed at. It is not asked about messages that the handler never got: those
	// that are not valid, come after a gap or from a source that was set back, or wait behind a parked one.
	GiveUp GiveUp[Tx]

	// Concurrency is how many transactions run at the same time. Default 16.
	Concurrency int
	// BatchSize is how many messages may share one transaction. Only messages
	// that wait already share one: nothing waits for a batch to fill. When one
	// of them fails, the transaction is rolled back and they are handled one
	// by one. Default 1.
	BatchSize int
	// BatchBytes bounds the payloads of one batch, in bytes. Default 1 MiB.
	BatchBytes int
	// MaxInFlight bounds the messages that are held in memory. Default 1,000, or
	// twice what Concurrency batches of BatchSize hold, if that is more.
	MaxInFlight int

	// HandlerTimeout bounds one transaction. One that takes longer is rolled
	// back and tried again. Default 1 min.
	HandlerTimeout time.Duration
	// MaxAttempts is how often a message is tried that fails with an error
	// that is neither transient nor permanent; then it is parked. Default 5.
	MaxAttempts int
	// Backoff says how long to wait between attempts.
	Backoff Backoff

	// Strict parks a message that comes after a gap instead of handling it.
	Strict bool
	// MaxHoles bounds the holes in one lane: Run ends with an error rather
	// than record more. Default 1,000.
	MaxHoles int
	// ClockTolerance is how far the producers' clocks may be ahead of ours: a
	// message that looks like a duplicate, but was made later than this after its lane's
	// last one was handled, is parked as a sign that the source was set back.
	// Default 1 min.
	ClockTolerance time.Duration
	// IDRetention is how long the ids of messages without a lane are
	// remembered. Default 7 days.
	IDRetention time.Duration

	// DrainTimeout bounds how long Run waits for running handlers after its
	// context is done; then their contexts end. Default 10 s.
	DrainTimeout time.Duration
	// Logger gets what people should know. Default: nothing is logged.
	Logger *slog.Logger
	// Observer is told what becomes of each message; it may be nil.
	Observer Observer
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Backoff is a wait that doubles with each failure in a row.
type Backoff struct {
	// Initial bounds the first wait, Max all of them. Defaults 100 ms and 5 s.
	Initial, Max time.Duration
	// Jitter chooses the wait below its bound, so that those that failed
	// together do not come back together. Default: by chance, from 0 to the bound.
	Jitter func(bound time.Duration) time.Duration
}

// wait returns how long to wait after the given number of failures, from 1.
func (b *Backoff) wait(failures int) time.Duration {
	bound := b.Initial
	for ; failures > 1 && bound < b.Max; failures-- {
		bound *= 2
	}
	return b.Jitter(min(bound, b.Max))
}

func fullJitter(bound time.Duration) time.Duration { return rand.N(bound + 1) }

func (c *Config[Tx]) withDefaults() {
	setDefault(&c.Concurrency, 16)
	setDefault(&c.BatchSize, 1)
	setDefault(&c.BatchBytes, 1<<20)
	setDefault(&c.MaxInFlight, max(1000, 2*c.Concurrency*c.BatchSize))
	setDefault(&c.HandlerTimeout, time.Minute)
	setDefault(&c.MaxAttempts, 5)
	setDefault(&c.Backoff.Initial, 100*time.Millisecond)
	setDefault(&c.Backoff.Max, max(5*time.Second, c.Backoff.Initial))
	setDefault(&c.MaxHoles, 1000)
	setDefault(&c.ClockTolerance, time.Minute)
	setDefault(&c.IDRetention, 7*24*time.Hour)
	setDefault(&c.DrainTimeout, 10*time.Second)
	if c.Backoff.Jitter == nil {
		c.Backoff.Jitter = fullJitter
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Observer == nil {
		c.Observer = noObserver{}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c *Config[Tx]) validate() error {
	if err := c.validateNames(); err != nil {
		return err
	}
	switch {
	case c.Store == nil:
		return errors.New("inbox: Store is missing")
	case c.Broker == nil:
		return errors.New("inbox: Broker is missing")
	case c.Handler == nil:
		return errors.New("inbox: Handler is missing")
	case c.Backoff.Initial < 0 || c.Backoff.Max < c.Backoff.Initial:
		return fmt.Errorf("inbox: Backoff is from %s to %s", c.Backoff.Initial, c.Backoff.Max)
	}
	for name, n := range map[string]int{"Concurrency": c.Concurrency, "BatchSize": c.BatchSize, "BatchBytes": c.BatchBytes,
		"MaxInFlight": c.MaxInFlight, "MaxAttempts": c.MaxAttempts, "MaxHoles": c.MaxHoles} {
		if n < 1 {
			return fmt.Errorf("inbox: %s is %d, less than 1", name, n)
		}
	}
	for name, d := range map[string]time.Duration{"HandlerTimeout": c.HandlerTimeout, "ClockTolerance": c.ClockTolerance,
		"IDRetention": c.IDRetention, "DrainTimeout": c.DrainTimeout} {
		if d < 0 {
			return fmt.Errorf("inbox: %s is %s, less than 0", name, d)
		}
	}
	return nil
}

func (c *Config[Tx]) validateNames() error {
	if err := tidings.ValidateName("subscriber", c.Subscriber); err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	if len(c.Channels) == 0 {
		return errors.New("inbox: Channels is empty: name at least one")
	}
	for i, channel := range c.Channels {
		if err := tidings.ValidateName("channel", channel); err != nil {
			return fmt.Errorf("inbox: %w", err)
		}
		if slices.Contains(c.Channels[:i], channel) {
			return fmt.Errorf("inbox: Channels has %q twice", channel)
		}
	}
	return nil
}
