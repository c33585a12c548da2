package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"tidings.example/internal/connect"
)

// Config describes one run.
type Config struct {
	// Program is the path of the tidings program.
	Program string
	// Dir takes the processes' logs.
	Dir string
	// Processes are the system, in the order in which they are started.
	Processes []Process
	// Producers, Consumers and Auditor are the URLs of the databases to look
	// into at the end: those with an outbox, those with an inbox, and the
	// auditor's.
	Producers, Consumers []string
	Auditor              string
	// Gateway is the base URL of the sample system.
	Gateway string
	// Servers are the names of the servers to kill too, and Script is
	// scripts/servers, which does it.
	Servers []string
	Script  string
	// For is how long orders come in at Rate a second, from Customers
	// customers; every Every, on average, something is killed.
	For       time.Duration
	Rate      int
	Customers int
	Every     time.Duration
	Seed      uint64
	// Settle bounds the wait for quiet afterwards.
	Settle time.Duration
	// Progress gets a line for each kill and phase.
	Progress io.Writer
}

// run is one run in progress.
type run struct {
	Config
	targets map[string]target
	order   []string
	load    *load
}

// Run runs the system under load and kills, and checks it. The error says what
// does not add up; the counts are valid as far as it got.
func Run(ctx context.Context, cfg Config) (c Counts, err error) {
	c.Seed = cfg.Seed
	r := &run{Config: cfg, targets: map[string]target{}, load: newLoad(cfg.Gateway, cfg.Rate)}
	for _, p := range cfg.Processes {
		r.targets[p.Name] = &child{Process: p, program: cfg.Program, dir: cfg.Dir}
		r.order = append(r.order, p.Name)
	}
	started, err := r.startAll(ctx)
	defer func() { err = errors.Join(err, r.stopAll(context.WithoutCancel(ctx), started)) }()
	if err != nil {
		return c, err
	}
	for _, name := range cfg.Servers {
		r.targets[name] = server{script: cfg.Script, name: name}
	}
	if err := r.load.createCustomers(ctx, cfg.Customers); err != nil {
		return c, err
	}
	if c.Strikes, err = r.strikes(ctx); err != nil {
		return c, err
	}
	r.say("load is over: %d orders accepted, %d requests failed; waiting for quiet", r.load.accepted, r.load.refused)
	return c, r.settle(ctx, &c)
}

func (r *run) say(format string, args ...any) {
	if r.Progress != nil {
		_, _ = fmt.Fprintf(r.Progress, format+"\n", args...)
	}
}

func (r *run) startAll(ctx context.Context) (started []string, err error) {
	for _, p := range r.Processes {
		if err := r.targets[p.Name].start(ctx); err != nil {
			return started, err
		}
		started = append(started, p.Name)
		if p.Health == "" {
			continue
		}
		if err := waitFor(ctx, time.Minute, func() error { return healthy(ctx, r.load.client, p.Health) }); err != nil {
			return started, fmt.Errorf("%s does not come up: %w; see %s", p.Name, err, filepath.Join(r.Dir, "*.log"))
		}
	}
	return started, nil
}

func healthy(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

// stopAll ends the processes as an operator would, the last started first. That
// they end cleanly is part of what is tested.
func (r *run) stopAll(ctx context.Context, started []string) (err error) {
	for _, name := range slices.Backward(started) {
		err = errors.Join(err, r.targets[name].stop(ctx))
	}
	return err
}

// strikes runs the load and carries out the plan of kills.
func (r *run) strikes(ctx context.Context) (int, error) {
	loading, stop := context.WithTimeout(ctx, r.For)
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.load.run(loading, r.Seed)
	}()
	plan := schedule(r.Seed, r.For, r.Every, slices.Sorted(maps.Keys(r.targets)))
	r.say("seed %d: %d strikes in %s, %d orders a second", r.Seed, len(plan), r.For, r.Rate)
	begin := time.Now()
	for _, s := range plan {
		if err := pause(ctx, time.Until(begin.Add(s.at))); err != nil {
			return 0, err
		}
		r.say("%s", s)
		for _, name := range s.targets {
			if err := r.targets[name].kill(ctx); err != nil {
				return 0, err
			}
		}
		if err := pause(ctx, s.down); err != nil {
			return 0, err
		}
		for _, name := range s.targets {
			if err := r.targets[name].start(ctx); err != nil {
				return 0, err
			}
		}
	}
	<-ended
	return len(plan), ctx.Err()
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// settle waits until everything has arrived, and counts.
func (r *run) settle(ctx context.Context, c *Counts) (err error) {
	var all []*connect.Database
	defer func() {
		for _, db := range all {
			err = errors.Join(err, db.Close())
		}
	}()
	open := func(url string) (*connect.Database, error) {
		db, err := connect.OpenDatabase(ctx, url, connect.Options{})
		if err == nil {
			all = append(all, db)
		}
		return db, err
	}
	var producers, consumers []*connect.Database
	for _, url := range r.Producers {
		db, err := open(url)
		if err != nil {
			return err
		}
		producers = append(producers, db)
	}
	for _, url := range r.Consumers {
		db, err := open(url)
		if err != nil {
			return err
		}
		consumers = append(consumers, db)
	}
	auditor, err := open(r.Auditor)
	if err != nil {
		return err
	}
	return waitFor(ctx, r.Settle, func() error {
		return r.count(ctx, producers, append(consumers, auditor), auditor, c)
	})
}

// count takes all counts anew; nil means that everything adds up.
func (r *run) count(ctx context.Context, producers, consumers []*connect.Database, auditor *connect.Database, c *Counts) error {
	*c = Counts{Seed: c.Seed, Strikes: c.Strikes}
	committed := map[lane]uint64{}
	for _, db := range producers {
		if err := quiet(ctx, db.SQL); err != nil {
			return err
		}
		epochs, err := numbered(ctx, db, committed)
		if err != nil {
			return err
		}
		c.Epochs += epochs
	}
	if err := r.load.business(ctx, c); err != nil {
		return err
	}
	if err := effects(ctx, auditor, committed, c); err != nil {
		return err
	}
	for _, db := range consumers {
		if err := inboxes(ctx, db, committed, c); err != nil {
			return err
		}
	}
	switch {
	case c.Lost > 0 || c.Handled < c.Committed:
		return fmt.Errorf("%d messages were committed, %d handled, %d lost", c.Committed, c.Handled, c.Lost)
	case c.Twice > 0:
		return fmt.Errorf("%d messages were handled twice", c.Twice)
	case c.OutOfOrder > 0:
		return fmt.Errorf("%d messages were handled out of order", c.OutOfOrder)
	case c.Parked > 0:
		return fmt.Errorf("%d messages are parked", c.Parked)
	case c.Epochs != len(producers):
		return fmt.Errorf("%d epochs for %d sources", c.Epochs, len(producers))
	}
	return nil
}
