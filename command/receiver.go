package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"tidings.example"
	"tidings.example/inbox"
	"tidings.example/outbox"
)

// A Receiver handles the commands of one or several participants. Register the
// handlers with [On], make an inbox of it with [Receiver.Inbox], and run
// [Receiver.Upkeep] beside it. One receiver, in any number of processes, handles all commands of a participant.
type Receiver[Tx any] struct {
	name     string
	outbox   *outbox.Outbox[Tx]
	store    Store[Tx]
	cfg      settings
	channels []string
	// participants are those that have handlers, by channel and name; codecs are theirs, by name.
	participants map[participantKey]Participant
	named        map[string]Participant
	elsewhere    map[participantKey]bool
	routes       map[routeKey]route[Tx]
	errs         []error
	skipped      skips
	// releaseOnly has the unlocks during which a waiting command failed.
	releaseOnly idSet
	// look wakes the upkeep.
	look chan struct{}
}

type participantKey struct{ channel, name string }

// routeKey is what decides who handles a command.
type routeKey struct {
	participantKey
	commandType string
}

// A ReceiverOption changes how a receiver works.
type ReceiverOption func(*settings)

type settings struct {
	retention time.Duration
	attempts  int
	interval  time.Duration
	timeout   time.Duration
	logger    *slog.Logger
	now       func() time.Time
}

// WithRetention says how long answers to repeatable commands, and to those
// answered later, are remembered. It must be longer than anybody repeats a command. Default 7 days.
func WithRetention(d time.Duration) ReceiverOption { return func(s *settings) { s.retention = d } }

// WithAttempts says how often a command that has waited for a lock is tried,
// by the upkeep of each process, before it is rejected. Default 5.
func WithAttempts(n int) ReceiverOption { return func(s *settings) { s.attempts = n } }

// WithInterval says how often the upkeep looks for work. Default 1 s.
func WithInterval(d time.Duration) ReceiverOption { return func(s *settings) { s.interval = d } }

// WithTimeout bounds a transaction of the upkeep. Default 1 min.
func WithTimeout(d time.Duration) ReceiverOption { return func(s *settings) { s.timeout = d } }

// WithLogger says who gets what people should know. Default: nothing is logged.
func WithLogger(l *slog.Logger) ReceiverOption { return func(s *settings) { s.logger = l } }

// WithClock sets the clock. Default time.Now.
func WithClock(now func() time.Time) ReceiverOption { return func(s *settings) { s.now = now } }

// NewReceiver returns a receiver without handlers. Its name is that of its inbox
// and of its consumer group; it must not change later. Outbox and store are those of the
// database that the handlers change.
func NewReceiver[Tx any](name string, o *outbox.Outbox[Tx], s Store[Tx], options ...ReceiverOption) *Receiver[Tx] {
	r := &Receiver[Tx]{name: name, outbox: o, store: s,
		cfg: settings{retention: 7 * 24 * time.Hour, attempts: 5, interval: time.Second, timeout: time.Minute,
			logger: slog.New(slog.DiscardHandler), now: time.Now},
		participants: map[participantKey]Participant{}, named: map[string]Participant{}, elsewhere: map[participantKey]bool{},
		routes: map[routeKey]route[Tx]{}, look: make(chan struct{}, 1)}
	for _, option := range options {
		option(&r.cfg)
	}
	switch {
	case o == nil:
		r.errs = append(r.errs, errors.New("the outbox is nil"))
	case s == nil:
		r.errs = append(r.errs, errors.New("the store is nil"))
	case r.cfg.logger == nil || r.cfg.now == nil:
		r.errs = append(r.errs, errors.New("the logger or the clock is nil"))
	case r.cfg.retention <= 0 || r.cfg.attempts < 1 || r.cfg.interval <= 0 || r.cfg.timeout <= 0:
		r.errs = append(r.errs, fmt.Errorf("retention %s, %d attempts, interval %s, timeout %s: each must be more than 0",
			r.cfg.retention, r.cfg.attempts, r.cfg.interval, r.cfg.timeout))
	}
	return r
}

// Name is the receiver's name.
func (r *Receiver[Tx]) Name() string { return r.name }

// Ignore names participants that share a channel with the receiver's own and
// are handled by other receivers: their commands are skipped. All others that the receiver has no
// handlers for are answered with a failure.
func (r *Receiver[Tx]) Ignore(participants ...Participant) {
	for _, p := range participants {
		r.elsewhere[participantKey{p.Channel, p.Name}] = true
	}
}

// Err returns what is wrong with the registered handlers: a type registered
// twice, an invalid name. Inbox returns it too.
func (r *Receiver[Tx]) Err() error { return errors.Join(r.errs...) }

// Channels are the channels of all registered participants.
func (r *Receiver[Tx]) Channels() []string { return slices.Clone(r.channels) }

// Inbox returns an inbox that receives for the receiver. Set at least Store and
// Broker; Subscriber, Channels, Handler and GiveUp come from r.
func (r *Receiver[Tx]) Inbox(cfg inbox.Config[Tx]) (*inbox.Inbox[Tx], error) {
	switch {
	case len(r.errs) > 0:
		return nil, errf("receiver %q: %w", r.name, r.Err())
	case len(r.routes) == 0:
		return nil, errf("receiver %q has no handlers: register one with command.On", r.name)
	case cfg.Subscriber != "" || cfg.Channels != nil || cfg.Handler != nil || cfg.GiveUp != nil:
		return nil, errf("receiver %q: leave Subscriber, Channels, Handler and GiveUp of the inbox's configuration empty", r.name)
	}
	cfg.Subscriber, cfg.Channels, cfg.Handler, cfg.GiveUp = r.name, r.Channels(), r.Handle, r.GiveUp
	return inbox.New(cfg)
}

// Handle is the receiver as the handler of an inbox made by hand, whose GiveUp
// must be set too. Where the registration is wrong (see Err), it returns an error that holds everything up.
func (r *Receiver[Tx]) Handle(ctx context.Context, tx Tx, m *tidings.Message) error {
	if len(r.errs) > 0 {
		return inbox.Transient(errf("receiver %q: %w", r.name, r.Err()))
	}
	if m.Type == TypeUnlock {
		return r.unlock(ctx, tx, m)
	}
	_, err := r.take(ctx, tx, m, nil)
	return err
}

// GiveUp is the receiver as the [inbox.GiveUp] of an inbox made by hand: it tells
// the sender of a command that it was rejected. What nobody waits for is parked.
func (r *Receiver[Tx]) GiveUp(ctx context.Context, tx Tx, m *tidings.Message, failure error) (settled bool, err error) {
	if len(r.errs) > 0 || m.Type == TypeUnlock {
		return false, nil
	}
	a, p, known := r.ask(m)
	if !known || !a.wanted() || a.check() != nil {
		return false, nil
	}
	return true, r.settle(ctx, tx, &a, p, fails(FailureRejected, "%v", failure))
}

// Skipped returns which types were skipped for lack of a handler, and how often.
// Commands that want a reply are answered with a failure, and counted here as well.
func (r *Receiver[Tx]) Skipped() []Skip { return r.skipped.list() }

func errf(format string, args ...any) error { return fmt.Errorf("command: "+format, args...) }
