package timer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Runner does what its sources have due. It is a component of a service: give
// it to service.Config.Background. Any number of runners may share a database.
type Runner struct {
	cfg   Config
	loops []*loop

	mu      sync.Mutex
	running bool
	stopped error // why Run has returned, for Ready
}

// NewRunner returns a runner, or an error that names the setting that is wrong.
func NewRunner(cfg Config) (*Runner, error) {
	cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	r := &Runner{cfg: cfg}
	for _, s := range cfg.Sources {
		r.loops = append(r.loops, newLoop(&r.cfg, s))
	}
	return r, nil
}

// Name is what a service calls the runner: "timers" and its name.
func (r *Runner) Name() string { return "timers " + r.cfg.Name }

// Wake makes the runner look at once for what is due. Call it after the commit
// of a transaction that has set something to be done earlier than Poll from
// now; without it, it is done up to Poll late. It never blocks and may be called
// at any time and often: calls that come close together cost one look.
func (r *Runner) Wake() {
	for _, l := range r.loops {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Ready returns nil while the runner does what is due, and otherwise why not.
func (r *Runner) Ready() error {
	r.mu.Lock()
	running, stopped := r.running, r.stopped
	r.mu.Unlock()
	switch {
	case stopped != nil:
		return fmt.Errorf("%s has stopped: %w", r.Name(), stopped)
	case !running:
		return fmt.Errorf("%s does not run", r.Name())
	}
	for _, l := range r.loops {
		if err := l.ready(); err != nil {
			return err
		}
	}
	return nil
}

// Stats returns what was done for each source since the runner was made.
func (r *Runner) Stats() []Stats {
	stats := make([]Stats, len(r.loops))
	for i, l := range r.loops {
		stats[i] = l.snapshot()
	}
	return stats
}

// drainTime bounds how long transactions that are running may take after Run's
// context is done. What is cut off is rolled back, and done by the next runner.
const drainTime = 10 * time.Second

// Run does what is due until ctx is done, finishes the transactions that it has begun,
// and returns nil. Errors that may pass are tried again, for ever, at growing
// distances; any other, as the source says, ends it. It must not run twice at the same time.
func (r *Runner) Run(ctx context.Context) error {
	if !r.start() {
		return fmt.Errorf("%s runs already", r.Name())
	}
	// Transactions outlive ctx, so that they finish.
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	failed, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	defer context.AfterFunc(failed, func() { sleep(work, drainTime, nil); cut() })()

	var loops sync.WaitGroup
	for _, l := range r.loops {
		loops.Go(func() {
			if err := l.run(failed, work); err != nil {
				fail(fmt.Errorf("%s: %s: %w", r.Name(), l.source.Name(), err))
			}
		})
	}
	loops.Wait()
	var err error
	if ctx.Err() == nil {
		err = context.Cause(failed)
	}
	r.stop(err)
	return err
}

func (r *Runner) start() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running {
		return false
	}
	r.running, r.stopped = true, nil
	return true
}

func (r *Runner) stop(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		err = errors.New("it was told to")
	}
	r.running, r.stopped = false, err
}
