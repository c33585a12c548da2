package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/inbox"
	"tidings.example/outbox"
)

// RequesterConfig says how requests are made. Name, Outbox, Inbox, Replies and
// Broker are required; the first four are of one database.
type RequesterConfig[Tx any] struct {
	// Name names the service that asks. All its processes have the same.
	Name string
	// Outbox sends commands, Inbox and Replies keep the replies to them.
	Outbox  *outbox.Outbox[Tx]
	Inbox   inbox.Storage[Tx]
	Replies ReplyStore[Tx]
	Broker  broker.Subscriber
	// Channel is where replies are sent. Default: Name and ".replies". It is
	// also the name of the requester's inbox.
	Channel string

	// Timeout bounds each request, beside its context. Default 30 s.
	Timeout time.Duration
	// Retention is how long replies are kept, also those that came too late.
	// Default 1 h; it must be longer than Timeout.
	Retention time.Duration
	// Poll bounds the time between looks for a reply that another process of
	// the service may have received; they begin at 5 ms. Default 500 ms.
	Poll time.Duration
	// Logger gets what people should know. Default: nothing is logged.
	Logger *slog.Logger
	// Observer is told what becomes of each reply; it may be nil.
	Observer inbox.Observer
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// A Requester sends commands and waits for their replies, for programs that have
// somebody waiting. It is a component of a service: while it does not run no
// reply is received. Any number may run, in any number of processes: whichever
// receives a reply stores it, and the one who waits finds it.
type Requester[Tx any] struct {
	cfg RequesterConfig[Tx]
	in  *inbox.Inbox[Tx]

	mu sync.Mutex
	// waiting are the requests of this process, by the id of their command.
	waiting map[string]chan *tidings.Message
}

// NewRequester returns a requester, or an error that names the setting that is wrong.
func NewRequester[Tx any](cfg RequesterConfig[Tx]) (*Requester[Tx], error) {
	cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, errf("requester %q: %w", cfg.Name, err)
	}
	r := &Requester[Tx]{cfg: cfg, waiting: map[string]chan *tidings.Message{}}
	in, err := inbox.New(inbox.Config[Tx]{Subscriber: cfg.Channel, Store: cfg.Inbox, Broker: cfg.Broker,
		Channels: []string{cfg.Channel}, Handler: r.handle, Logger: cfg.Logger, Observer: cfg.Observer, Now: cfg.Now})
	if err != nil {
		return nil, errf("requester %q: %w", cfg.Name, err)
	}
	r.in = in
	return r, nil
}

func (c *RequesterConfig[Tx]) withDefaults() {
	if c.Channel == "" && c.Name != "" {
		c.Channel = c.Name + ".replies"
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Retention == 0 {
		c.Retention = time.Hour
	}
	if c.Poll == 0 {
		c.Poll = 500 * time.Millisecond
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

func (c *RequesterConfig[Tx]) validate() error {
	switch {
	case c.Outbox == nil:
		return errors.New("the outbox is missing")
	case c.Inbox == nil:
		return errors.New("the inbox's store is missing")
	case c.Replies == nil:
		return errors.New("the store of replies is missing")
	case c.Broker == nil:
		return errors.New("the broker is missing")
	case c.Timeout < 0 || c.Poll < 0:
		return fmt.Errorf("timeout %s, poll %s: less than 0", c.Timeout, c.Poll)
	case c.Retention <= c.Timeout:
		return fmt.Errorf("retention %s is not longer than the timeout %s", c.Retention, c.Timeout)
	}
	return tidings.ValidateName("name", c.Name)
}

// Name is what a service calls it: "requests" and the requester's name.
func (r *Requester[Tx]) Name() string { return "requests " + r.cfg.Name }

// Ready returns nil while replies are received, and otherwise the reason why they are not.
func (r *Requester[Tx]) Ready() error { return r.in.Ready() }

// Stats returns what the inbox of replies has done.
func (r *Requester[Tx]) Stats() inbox.Stats { return r.in.Stats() }

// Run receives replies until ctx is done, and returns nil then. Its errors are those of [inbox.Inbox.Run].
func (r *Requester[Tx]) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { r.forget(ctx) })
	defer background.Wait()
	defer cancel()
	return r.in.Run(ctx)
}

// Request sends a command in a transaction of its own and waits for the reply. It
// returns a [*FailedError], with the reply, for a failure; an error wrapping ctx's for one that did not come in
// time: the command may then still be handled, or may have been.
// [ReplyAs] decodes the reply. [ReplyTo] is the requester's to give. An error that wraps [ErrNoReply] says that what came is none.
//
// A process that is killed while it waits has sent the command or has not; its
// reply is forgotten after Retention. Whoever must know the outcome uses a saga.
func (r *Requester[Tx]) Request(ctx context.Context, p Participant, c Command, options ...Option) (Replied, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	m, err := Message(p, c, options...)
	if err != nil {
		return Replied{}, err
	}
	id := m.Headers[HeaderCommandID]
	if len(id) > maxReference {
		return Replied{}, errf("request %s of %s: its id has %d bytes, more than %d", m.Type, p.Name, len(id), maxReference)
	}
	m.Headers[HeaderReplyChannel], m.Headers[HeaderReplyKey] = r.cfg.Channel, id
	told, err := r.wait(id)
	if err != nil {
		return Replied{}, err
	}
	defer r.stopWaiting(id)
	err = r.cfg.Replies.InTx(ctx, func(ctx context.Context, tx Tx) error { return r.cfg.Outbox.Append(ctx, tx, m) })
	if err != nil {
		return Replied{}, fmt.Errorf("request %s of %s: %w", m.Type, p.Name, err)
	}
	reply, err := r.await(ctx, id, told)
	if err != nil {
		return Replied{}, fmt.Errorf("request %s of %s: wait for the reply to command %s: %w", m.Type, p.Name, id, err)
	}
	replied, err := ParseReply(reply)
	if err != nil {
		return Replied{}, fmt.Errorf("request %s of %s: %w", m.Type, p.Name, err)
	}
	replied.Codec = p.Codec
	if !replied.Success {
		return replied, fmt.Errorf("request %s of %s: %w", m.Type, p.Name, &FailedError{Reply: replied})
	}
	return replied, nil
}

func (r *Requester[Tx]) wait(id string) (<-chan *tidings.Message, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[id] != nil {
		return nil, errf("a request waits already for the reply to command %s", id)
	}
	told := make(chan *tidings.Message, 1)
	r.waiting[id] = told
	return told, nil
}

func (r *Requester[Tx]) stopWaiting(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, id)
}

// await waits for the reply to a command: this process receives it, or another one stores it.
func (r *Requester[Tx]) await(ctx context.Context, id string, told <-chan *tidings.Message) (*tidings.Message, error) {
	pause := min(5*time.Millisecond, r.cfg.Poll)
	for {
		timer := time.NewTimer(pause)
		select {
		case m := <-told:
			timer.Stop()
			return m, nil
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
		}
		m, err := r.cfg.Replies.Reply(ctx, id)
		if m != nil && err == nil {
			return m, nil
		}
		if err != nil && ctx.Err() == nil {
			r.cfg.Logger.Warn("looking for a reply failed", "requester", r.cfg.Name, "command", id, "error", err)
		}
		pause = min(2*pause, r.cfg.Poll)
	}
}

// handle stores a reply.
func (r *Requester[Tx]) handle(ctx context.Context, tx Tx, m *tidings.Message) error {
	id := m.Headers[HeaderCommandID]
	if id == "" || len(id) > maxReference {
		return inbox.Permanent(noReply(m, "header %q has %d bytes, not 1 to %d", HeaderCommandID, len(id), maxReference))
	}
	// One that is no reply for another reason is stored too: who waits is told.
	if err := r.cfg.Replies.SaveReply(ctx, tx, id, m, r.cfg.Now()); err != nil {
		return fmt.Errorf("save the reply to command %s: %w", id, err)
	}
	// Not before the commit: it may roll back.
	inbox.AfterCommit(ctx, func() { r.tell(id, m) })
	return nil
}

// tell tells the one who waits in this process for the reply to a command.
func (r *Requester[Tx]) tell(id string, reply *tidings.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case r.waiting[id] <- reply:
	default: // nobody waits here, or was told
	}
}

// forget forgets old replies until ctx is done.
func (r *Requester[Tx]) forget(ctx context.Context) {
	ticker := time.NewTicker(min(forgetEvery, r.cfg.Retention))
	defer ticker.Stop()
	for ctx.Err() == nil {
		n, err := r.cfg.Replies.ForgetReplies(ctx, r.cfg.Now().Add(-r.cfg.Retention), forgetChunk)
		if err != nil && ctx.Err() == nil {
			r.cfg.Logger.Warn("forgetting old replies failed", "requester", r.cfg.Name, "error", err)
		}
		if err == nil && n == forgetChunk {
			continue
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}
