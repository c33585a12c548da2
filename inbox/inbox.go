package inbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tidings.example/broker"
)

// An Inbox receives messages for one subscriber. Several inboxes of one
// subscriber may run, in any number of processes; the broker shares the
// messages out among them.
type Inbox[Tx any] struct {
	cfg    Config[Tx]
	status status
	// look wakes the one who looks for parked messages to retry.
	look chan struct{}
}

// New returns an inbox, or an error that names the setting that is wrong.
func New[Tx any](cfg Config[Tx]) (*Inbox[Tx], error) {
	cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	in := &Inbox[Tx]{cfg: cfg, look: make(chan struct{}, 1)}
	in.status.role = notRunning
	return in, nil
}

// Name is what a service calls the inbox: "inbox" and its subscriber.
func (in *Inbox[Tx]) Name() string { return "inbox " + in.cfg.Subscriber }

// Ready returns nil while the inbox takes messages in, and otherwise the reason
// why it does not.
func (in *Inbox[Tx]) Ready() error { return in.status.ready() }

// Stats returns what the inbox has done since it was made.
func (in *Inbox[Tx]) Stats() Stats { return in.status.stats() }

// RetryParked makes the inbox look now for parked messages that it was asked to
// retry; without it, it looks each second. It may be called at any time.
func (in *Inbox[Tx]) RetryParked() {
	select {
	case in.look <- struct{}{}:
	default:
	}
}

// Run takes messages in until ctx is done. It then begins no more, waits for
// the running handlers, for DrainTimeout at most, ends the contexts of those
// that are left, and returns nil once all have returned; messages that were
// not handled come again. Failures of the database and of handlers do not end
// it. It returns an error when going on makes no sense: the broker's, or a
// [*TooManyHolesError]. It must not run twice at the same time.
func (in *Inbox[Tx]) Run(ctx context.Context) error {
	r := newRun(ctx, in)
	defer r.cancel()
	defer r.fail(nil)
	if !in.status.start(r.queue.load) {
		return fmt.Errorf("%s runs already", in.Name())
	}
	err := r.run(ctx)
	in.status.stop(err)
	return err
}

// A run is one call of Run.
type run[Tx any] struct {
	*Inbox[Tx]
	queue *dispatcher
	// ctx is the context of transactions: it outlives Run's, until everything
	// is finished or DrainTimeout has passed.
	ctx    context.Context
	cancel context.CancelFunc
	// failed is done, with its cause, when going on makes no sense.
	failed context.Context
	fail   context.CancelCauseFunc
}

func newRun[Tx any](ctx context.Context, in *Inbox[Tx]) *run[Tx] {
	r := &run[Tx]{Inbox: in, queue: newDispatcher(in.cfg.BatchSize, in.cfg.BatchBytes, in.cfg.MaxInFlight)}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.failed, r.fail = context.WithCancelCause(ctx)
	return r
}

var errStopped = errors.New("stopped")

func (r *run[Tx]) run(ctx context.Context) error {
	var work, housekeeping sync.WaitGroup
	for range r.cfg.Concurrency {
		work.Go(r.work)
	}
	work.Go(func() { r.drain(r.failed) })
	housekeeping.Go(func() { r.prune(r.failed) })
	housekeeping.Go(func() { r.watch(r.failed) })

	// The subscription outlives the handlers, so that what they finish is
	// still acknowledged.
	subscription, unsubscribe := context.WithCancel(context.WithoutCancel(ctx))
	defer unsubscribe()
	subscribed := make(chan struct{})
	go func() {
		defer close(subscribed)
		r.fail(r.subscribe(subscription))
	}()

	<-r.failed.Done()
	r.status.drain()
	r.queue.stop()
	r.await(&work)
	unsubscribe()
	<-subscribed
	r.cancel()
	housekeeping.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(r.failed)
}

// await waits for running handlers, and cuts them off when DrainTimeout has passed.
func (r *run[Tx]) await(work *sync.WaitGroup) {
	limit := time.AfterFunc(r.cfg.DrainTimeout, func() {
		r.cfg.Logger.Warn("handlers take too long to drain, cutting them off",
			"subscriber", r.cfg.Subscriber, "limit", r.cfg.DrainTimeout)
		r.cancel()
	})
	defer limit.Stop()
	work.Wait()
}

// subscribe receives until ctx is done; it always returns an error.
func (r *run[Tx]) subscribe(ctx context.Context) error {
	err := r.cfg.Broker.Subscribe(ctx, broker.Subscription{
		Subscriber:  r.cfg.Subscriber,
		Channels:    r.cfg.Channels,
		MaxInFlight: r.cfg.MaxInFlight,
	}, r.deliver)
	switch {
	case err != nil:
		return fmt.Errorf("subscribe %q: %w", r.cfg.Subscriber, err)
	case ctx.Err() == nil:
		return fmt.Errorf("subscribe %q: the subscription ended by itself", r.cfg.Subscriber)
	}
	return errStopped
}
