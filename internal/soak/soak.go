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
	"strings"
	"time"

	"tidings.example/internal/connect"
	"tidings.example/internal/wait"
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
	// Strikes are the kinds of strikes beside the kill of processes: Pause,
	// Sessions, Slot and Purge. Relays are the names of the processes that they
	// mean, by the URL of their database.
	Strikes []string
	Relays  map[string][]string
	// Messages, if not 0, are appended directly to the outbox of the one
	// Producer, on Channel, within For; there is no sample system then.
	Messages int
	Channel  string
	// Sagas are the URLs of databases with sagas to check, Locks those of their participants.
	Sagas, Locks []string
	// Read is where the relays read rows from; empty for the default.
	Read string
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
	client    *http.Client
	targets   map[string]target
	databases map[string]*connect.Database
	// drive is the load, until its context is done.
	drive func(ctx context.Context)
}

// Run runs the system under load and strikes, and checks it. The error says what
// does not add up; the counts are valid as far as it got.
func Run(ctx context.Context, cfg Config) (c Counts, err error) {
	c.Seed = cfg.Seed
	r := &run{Config: cfg, client: &http.Client{Timeout: 5 * time.Second}, targets: map[string]target{}, databases: map[string]*connect.Database{}}
	for _, p := range cfg.Processes {
		r.targets[p.Name] = &child{Process: p, program: cfg.Program, dir: cfg.Dir}
	}
	defer func() {
		for _, db := range r.databases {
			err = errors.Join(err, db.Close())
		}
	}()
	if cfg.Messages > 0 {
		return c, r.messages(ctx, &c)
	}
	return c, r.sample(ctx, &c)
}

// sample runs the sample system.
func (r *run) sample(ctx context.Context, c *Counts) (err error) {
	l := newLoad(r.Gateway, r.Rate)
	r.drive = func(ctx context.Context) { l.run(ctx, r.Seed) }
	started, err := r.startAll(ctx)
	defer func() { err = errors.Join(err, r.stopAll(context.WithoutCancel(ctx), started)) }()
	if err != nil {
		return err
	}
	if err := l.createCustomers(ctx, r.Customers); err != nil {
		return err
	}
	r.say("seed %d: %s, %d orders a second", r.Seed, r.For, r.Rate)
	if err := r.strikes(ctx, c); err != nil {
		return err
	}
	r.say("load is over: %d orders accepted, %d requests failed; waiting for quiet", l.accepted, l.refused)
	return r.settle(ctx, l, c)
}

// messages runs relays and an auditor alone, and appends to the outbox itself.
func (r *run) messages(ctx context.Context, c *Counts) (err error) {
	source, err := r.open(ctx, r.Producers[0])
	if err != nil {
		return err
	}
	l := &messages{db: source, channel: r.Channel, n: r.Messages, rate: max(1, int(float64(r.Messages)/r.For.Seconds()))}
	r.drive = func(ctx context.Context) { l.run(ctx, r.Seed) }
	if err := l.prepare(ctx); err != nil {
		return err
	}
	started, err := r.startAll(ctx)
	defer func() { err = errors.Join(err, r.stopAll(context.WithoutCancel(ctx), started)) }()
	if err != nil {
		return err
	}
	if err := wait.For(ctx, time.Minute, askEvery, func() error { return reads(ctx, source, r.Read) }); err != nil {
		return err
	}
	r.say("seed %d: %d messages in %s", r.Seed, r.Messages, r.For)
	if err := r.strikes(ctx, c); err != nil {
		return err
	}
	r.say("load is over: %d transactions failed; waiting for quiet", l.failed.Load())
	auditor, err := r.open(ctx, r.Auditor)
	if err != nil {
		return err
	}
	return wait.For(ctx, r.Settle, askEvery, func() error { return countMessages(ctx, source, auditor, c) })
}

// reads returns nil once a relay leads and reads rows from where it should.
func reads(ctx context.Context, db *connect.Database, from string) error {
	backlog, err := db.Admin.Backlog(ctx)
	if err != nil {
		return err
	}
	if backlog.Holder == "" {
		return errors.New("no relay leads yet")
	}
	if from == "" || db.Log == nil {
		return nil
	}
	s, err := db.Log.LogStatus(ctx)
	if err == nil && (s.Reading != from || from == "log" && s.Position == "") {
		err = fmt.Errorf("rows are read from the %s, at %q", s.Reading, s.Position)
	}
	return err
}

// open opens a database once, until the run is over.
func (r *run) open(ctx context.Context, url string) (*connect.Database, error) {
	if db := r.databases[url]; db != nil {
		return db, nil
	}
	db, err := connect.OpenDatabase(ctx, url, connect.Options{Create: true})
	if err == nil {
		r.databases[url] = db
	}
	return db, err
}

// arm adds what strikes can hit beside the processes.
func (r *run) arm(ctx context.Context) error {
	for _, name := range r.Servers {
		r.targets[name] = server{script: r.Script, name: name}
	}
	for url, names := range r.Relays {
		db, err := r.open(ctx, url)
		if err != nil {
			return err
		}
		var relays []*child
		for _, name := range names {
			relays = append(relays, r.targets[name].(*child))
		}
		for _, kind := range r.Strikes {
			switch kind {
			case Pause:
				for _, c := range relays {
					r.targets["pause "+c.Name] = paused{c}
				}
			case Sessions:
				r.targets["end the sessions of "+strings.Join(names, ", ")] = sessions{db, relays}
			case Slot:
				r.targets["drop the slot of "+strings.Join(names, ", ")] = slot{db}
			case Purge:
				r.targets["purge the binary logs of "+strings.Join(names, ", ")] = binlogs{db, relays}
			}
		}
	}
	return nil
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
		if err := wait.For(ctx, time.Minute, askEvery, func() error { return healthy(ctx, r.client, p.Health) }); err != nil {
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
	for url := range r.Relays {
		db, e := r.open(ctx, url)
		if e == nil {
			e = forget(ctx, db)
		}
		err = errors.Join(err, e)
	}
	return err
}

// strikes runs the load and carries out the plan of strikes.
func (r *run) strikes(ctx context.Context, c *Counts) error {
	if err := r.arm(ctx); err != nil {
		return err
	}
	loading, stop := context.WithTimeout(ctx, r.For)
	if r.Messages > 0 {
		// All are to be appended, though the kills hold that up.
		stop()
		loading, stop = context.WithCancel(ctx)
	}
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.drive(loading)
	}()
	alone := func(name string) bool {
		_, process := r.targets[name].(*child)
		_, server := r.targets[name].(server)
		return !process && !server
	}
	plan := schedule(r.Seed, r.For, r.Every, slices.Sorted(maps.Keys(r.targets)), alone)
	r.say("%d strikes", len(plan))
	begin := time.Now()
	for _, s := range plan {
		if err := pause(ctx, time.Until(begin.Add(s.at))); err != nil {
			return err
		}
		if err := r.strike(ctx, s, c); err != nil {
			return fmt.Errorf("strike at %s: %w", s.at.Round(time.Millisecond), err)
		}
	}
	<-ended
	c.Strikes = len(plan)
	return ctx.Err()
}

// strike hits the targets of one strike, and lets them go on.
func (r *run) strike(ctx context.Context, s strike, c *Counts) error {
	r.say("%s", s)
	down := s.down
	for _, name := range s.targets {
		t := r.targets[name]
		if _, ok := t.(interface{ loses() }); ok {
			c.Losses++
		}
		if rests, ok := t.(interface{ rest() time.Duration }); ok {
			down += rests.rest()
		}
		if err := t.kill(ctx); err != nil {
			return err
		}
	}
	// What was stopped goes on in any case: it is to be ended cleanly.
	waited := pause(ctx, down)
	for _, name := range s.targets {
		if err := r.targets[name].start(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	return waited
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
func (r *run) settle(ctx context.Context, l *load, c *Counts) error {
	var producers, consumers []*connect.Database
	for _, url := range r.Producers {
		db, err := r.open(ctx, url)
		if err != nil {
			return err
		}
		producers = append(producers, db)
	}
	for _, url := range r.Consumers {
		db, err := r.open(ctx, url)
		if err != nil {
			return err
		}
		consumers = append(consumers, db)
	}
	auditor, err := r.open(ctx, r.Auditor)
	if err != nil {
		return err
	}
	return wait.For(ctx, r.Settle, askEvery, func() error {
		if err := count(ctx, l, producers, append(consumers, auditor), auditor, c); err != nil {
			return err
		}
		return r.orchestrated(ctx, c)
	})
}

// count takes all counts anew; nil means that everything adds up.
func count(ctx context.Context, l *load, producers, consumers []*connect.Database, auditor *connect.Database, c *Counts) error {
	*c = Counts{Seed: c.Seed, Strikes: c.Strikes, Losses: c.Losses}
	committed := map[lane]uint64{}
	for _, db := range producers {
		if err := quiet(ctx, db); err != nil {
			return err
		}
		epochs, err := numbered(ctx, db, committed)
		if err != nil {
			return err
		}
		c.Epochs += epochs
	}
	if err := l.business(ctx, c); err != nil {
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
	return c.verdict(len(producers))
}
