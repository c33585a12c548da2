package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"tidings.example"
	"tidings.example/broker"
)

// Config is what a relay needs to know. Source and Broker are required.
type Config struct {
	Source Source
	Broker broker.Publisher
	// Holder names this relay in the lease, for people and for a restarted
	// relay to take its own lease again at once. Two relays that run at the
	// same time must not have the same. Default: host name, process id and a
	// random part.
	Holder string
	// LeaseTTL is for how long the lease is taken; it is renewed three times
	// in that time. A standby takes over that long after a relay was killed,
	// at the latest. Default 3 s, at least 300 ms.
	LeaseTTL time.Duration
	// Lanes is the number of lanes per channel. Changing it opens a new
	// epoch, once what is on its way has arrived. Default
	// tidings.DefaultLanes.
	Lanes int
	// BatchRows and BatchBytes bound one plan: rows, and bytes of payload.
	// Defaults 2,000 rows and 1 MiB.
	BatchRows  int
	BatchBytes int
	// Window is the number of plans that may be on their way; of what is read from
	// the log, as many rows and bytes as fit into so many. Default 4.
	Window int
	// Idle is the interval after which the source is read though it gave no
	// signal. Default 1 s.
	Idle time.Duration
	// Read, if not empty, is where to read rows from: a relay that leads asks
	// once for the change, when it starts. FromLog needs a LogSource. Default:
	// what the database says, which is FromTable in the beginning.
	Read Reading
	// Checkpoint is the interval at which the position in the log is saved: what
	// was published since then is published again after a kill. Default 100 ms.
	Checkpoint time.Duration
	// Backoff bounds the wait after a failure: it starts at 50 ms and doubles
	// up to this. Default 5 s.
	Backoff time.Duration
	// DrainTimeout bounds how long Run waits, after its context is done, for
	// the broker to acknowledge what is on its way. Default 5 s.
	DrainTimeout time.Duration
	// Logger gets what people should know. Default: nothing is logged.
	Logger *slog.Logger
	// Observer is told of every batch; it may be nil.
	Observer Observer
}

func (c *Config) withDefaults() {
	setDefault(&c.LeaseTTL, 3*time.Second)
	setDefault(&c.Lanes, tidings.DefaultLanes)
	setDefault(&c.BatchRows, 2000)
	setDefault(&c.BatchBytes, 1<<20)
	setDefault(&c.Window, 4)
	setDefault(&c.Idle, time.Second)
	setDefault(&c.Checkpoint, 100*time.Millisecond)
	setDefault(&c.Backoff, 5*time.Second)
	setDefault(&c.DrainTimeout, 5*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Observer == nil {
		c.Observer = noObserver{}
	}
	if c.Holder == "" {
		c.Holder = defaultHolder()
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func defaultHolder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	id := tidings.NewID()
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), id[len(id)-8:])
}

func (c *Config) validate() error {
	switch {
	case c.Source == nil:
		return errors.New("relay: Source is missing")
	case c.Broker == nil:
		return errors.New("relay: Broker is missing")
	case c.LeaseTTL < 300*time.Millisecond:
		return fmt.Errorf("relay: LeaseTTL is %s, less than 300ms", c.LeaseTTL)
	case c.Lanes < 1 || c.Lanes > maxLanes:
		return fmt.Errorf("relay: Lanes is %d, not between 1 and %d", c.Lanes, maxLanes)
	case c.BatchRows < 1 || c.BatchBytes < 1 || c.Window < 1:
		return errors.New("relay: BatchRows, BatchBytes and Window must be positive")
	case c.Idle < 0 || c.Checkpoint < 0 || c.Backoff < 0 || c.DrainTimeout < 0:
		return errors.New("relay: Idle, Checkpoint, Backoff and DrainTimeout must be positive")
	case c.Read != "" && c.Read != FromTable && c.Read != FromLog:
		return fmt.Errorf("relay: Read is %q, not %q or %q", c.Read, FromTable, FromLog)
	case len(c.Holder) > tidings.MaxName:
		return fmt.Errorf("relay: Holder has %d bytes, more than %d", len(c.Holder), tidings.MaxName)
	}
	if _, ok := c.Source.(LogSource); c.Read == FromLog && !ok {
		return fmt.Errorf("relay: Read is %q, but Source %q has no log to read from", FromLog, c.Source.Name())
	}
	if err := tidings.ValidateName("source", c.Source.Name()); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return nil
}

// A Relay publishes the messages of one source. Several relays of one source
// may run, in any number of processes: one leads, the others stand by.
type Relay struct {
	cfg    Config
	status status
	// wish is Config.Read, until it is carried out; renumber is why the next
	// leader opens a new epoch. Run alone uses them.
	wish     Reading
	renumber string
}

// New returns a relay, or an error that names the setting that is wrong.
func New(cfg Config) (*Relay, error) {
	cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	r := &Relay{cfg: cfg, wish: cfg.Read}
	r.status.starting()
	return r, nil
}

// Run leads or stands by until ctx is done. It then waits for the broker to
// acknowledge what is on its way, for DrainTimeout at most, gives the lease up
// and returns nil. Failures of the database and of the broker do not end it: it
// tries again, and Ready says what is wrong.
func (r *Relay) Run(ctx context.Context) error {
	wait := newBackoff(r.cfg.Backoff)
	for ctx.Err() == nil {
		err := r.lead(ctx, wait)
		var held *HeldError
		switch {
		case errors.Is(err, errSwitched):
			wait.reset()
		case ctx.Err() != nil:
			if err != nil && !errors.Is(err, context.Canceled) && !errors.As(err, &held) {
				r.cfg.Logger.Warn("relay did not stop cleanly; the next one repeats what is on its way",
					"source", r.cfg.Source.Name(), "error", err)
			}
		case errors.As(err, &held):
			r.status.standby()
			wait.reset()
			// Try again when the lease runs out, and before that now and
			// then, since a relay that stops gives it up.
			sleep(ctx, min(max(held.Expires, time.Millisecond), r.cfg.LeaseTTL/8))
		case errors.Is(err, ErrFenced):
			r.status.standby()
			// Two relays that both believe to be the holder would take the lease
			// from each other without end, were it not for the pause.
			pause := wait.next()
			r.cfg.Logger.Warn("relay lost its lease", "source", r.cfg.Source.Name(), "holder", r.cfg.Holder, "reason", err)
			sleep(ctx, pause)
		case err != nil:
			r.status.failed(err)
			pause := wait.next()
			r.cfg.Logger.Error("relay failed, trying again", "source", r.cfg.Source.Name(), "error", err, "after", pause)
			sleep(ctx, pause)
		}
	}
	r.status.stopped()
	return nil
}

// Ready returns nil while the relay leads, or stands by for one that does, and
// otherwise the reason why it does neither.
func (r *Relay) Ready() error { return r.status.ready() }

// Stats returns what the relay has done since it was made.
func (r *Relay) Stats() Stats { return r.status.stats() }

// Name is what a service calls the relay: "relay" and its source.
func (r *Relay) Name() string { return "relay " + r.cfg.Source.Name() }
