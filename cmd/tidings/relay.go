package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tidings.example"
	"tidings.example/internal/connect"
	"tidings.example/metrics"
	"tidings.example/relay"
	"tidings.example/service"
)

// relaySettings are the flags of `tidings relay`.
type relaySettings struct {
	source, storeURL, brokerURL, addr, pprof   string
	channels                                   []string
	leaseTTL, idle, wait, progress, checkpoint time.Duration
	lanes, batchRows                           int
	read                                       *choice
}

func newRelayCommand(a *app) *cobra.Command {
	var s relaySettings
	cmd := &cobra.Command{
		Use:     "relay --source NAME",
		Short:   "Publish what is committed to an outbox, for a service in any language",
		GroupID: groupRun,
		Long: `Relay publishes the rows that a service commits to the table tidings_outbox of its
own database, in order per key, and removes them once the broker holds them. The
service may be written in any language: docs/formats/tables.md says what to insert.

Start as many as you like: one leads, the others take over within seconds when it
dies. The name of the source goes out with every message and must stay the same
for the life of the database.

Rows are read from the table, or, on PostgreSQL, MySQL and MariaDB, from the
database's commit log (--read log), which costs its tables nothing and takes about a
millisecond: docs/log-tailing.md. Without --read it stays as it is; status tells how
that is, and switch changes it while relays run.

Failures of the database or the broker do not end a running relay: it waits, keeps
the order and catches up. With --http it answers /healthz, /readyz (with the
reason) and /metrics. SIGTERM and Ctrl-C stop it: what is on its way still arrives.`,
		Example: `  tidings migrate up --store-url sqlite:orders.db
  tidings relay --source orders --store-url sqlite:orders.db --broker-url nats://127.0.0.1:4222
  TIDINGS_STORE_URL=postgres://relay:secret@db/orders TIDINGS_BROKER_URL=kafka://broker:9092 \
    tidings relay --source orders --http 127.0.0.1:9100 --log-format json
  tidings relay --source orders --read log
  tidings relay status --watch
  tidings relay switch --to log --reason 'polling costs too much'`,
	}
	asGroup(a, cmd)
	flags := cmd.Flags()
	flags.StringVar(&s.source, "source", "", "name of the outbox, for ever (required)")
	fromEnvironment(flags, "source", "TIDINGS_SOURCE")
	addStoreFlag(cmd.Flags(), &s.storeURL)
	addBrokerFlag(cmd.Flags(), &s.brokerURL)
	flags.StringVar(&s.addr, "http", "", "serve /healthz, /readyz and /metrics on this host:port; not served if empty")
	fromEnvironment(flags, "http", "TIDINGS_HTTP")
	flags.StringSliceVar(&s.channels, "channel", nil, "create this channel at the broker if it is missing; may be repeated")
	flags.DurationVar(&s.wait, "wait", 0, "how long to wait at the start for a server that does not answer")
	flags.DurationVar(&s.leaseTTL, "lease", 3*time.Second, "a standby takes over so long after a relay was killed")
	flags.DurationVar(&s.idle, "idle", time.Second, "read the outbox so often though nothing signals a row")
	s.read = newChoice("", "table", "log")
	flags.Var(s.read, "read", "where to read rows from, asked for once, when this relay first leads; default: as the database says")
	fromEnvironment(flags, "read", "TIDINGS_READ")
	flags.DurationVar(&s.checkpoint, "checkpoint", 100*time.Millisecond, "save the position in the log so often; what came since is repeated after a kill")
	flags.StringVar(&s.pprof, "pprof", "", "serve profiles for go tool pprof on this host:port, of the loopback interface only; not served if empty")
	flags.IntVar(&s.lanes, "lanes", tidings.DefaultLanes, "lanes per channel; a change opens a new epoch")
	flags.IntVar(&s.batchRows, "batch", 2000, "rows per batch, at most")
	flags.DurationVar(&s.progress, "progress", 10*time.Second, "log so often how many messages were published, if any were; 0 is never")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.runRelay(cmd.Context(), s) }
	cmd.AddCommand(newRelayStatus(a), newRelaySwitch(a), newRelayDropLog(a))
	return cmd
}

func (s *relaySettings) check() error {
	if s.source == "" {
		return usagef("--source is missing: name the outbox, such as --source orders, or set TIDINGS_SOURCE")
	}
	if err := tidings.ValidateName("source", s.source); err != nil {
		return usagef("--source: %w", err)
	}
	for _, c := range s.channels {
		if err := tidings.ValidateName("channel", c); err != nil {
			return usagef("--channel: %w", err)
		}
	}
	if err := requireStore(s.storeURL); err != nil {
		return err
	}
	if err := requireBroker(s.brokerURL); err != nil {
		return err
	}
	if err := connect.CheckDatabaseURL(s.storeURL); err != nil {
		return err
	}
	if err := connect.CheckBrokerURL(s.brokerURL); err != nil {
		return err
	}
	if s.wait < 0 || s.progress < 0 || s.idle <= 0 {
		return usagef("--wait, --progress and --idle must not be negative, and --idle not 0")
	}
	if s.checkpoint < 0 {
		return usagef("--checkpoint must not be negative")
	}
	if s.pprof != "" {
		if err := checkLoopback("--pprof", s.pprof); err != nil {
			return err
		}
	}
	if s.addr == "" {
		return nil
	}
	return checkAddr("--http", s.addr)
}

// checkAddr refuses an address that cannot be listened on.
func checkAddr(flag, addr string) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return usagef("%s: %q is not host:port, as in 127.0.0.1:8080", flag, shorten(addr, 60))
	}
	return nil
}

func (a *app) runRelay(ctx context.Context, s relaySettings) error {
	if err := s.check(); err != nil {
		return err
	}
	db, err := retry(ctx, a, s.wait, func() (*connect.Database, error) { return a.openMigrated(ctx, s.storeURL) })
	if err != nil {
		return stopped(ctx, err)
	}
	defer a.closing("database", db.Close)
	if s.read.value == string(relay.FromLog) {
		if err := db.NeedLog(); err != nil {
			return usagef("--read log: %w", err)
		}
	}
	broker, err := retry(ctx, a, s.wait, func() (*connect.Broker, error) { return a.openBroker(ctx, s.brokerURL) })
	if err != nil {
		return stopped(ctx, err)
	}
	defer a.closing("broker", broker.Close)
	if len(s.channels) > 0 {
		if err := broker.EnsureChannels(ctx, s.channels...); err != nil {
			return stopped(ctx, err)
		}
	}
	collectOften()
	m := metrics.New()
	r, err := relay.New(relay.Config{Source: db.Relay(s.source), Broker: broker.Publisher, LeaseTTL: s.leaseTTL, Lanes: s.lanes,
		BatchRows: s.batchRows, Idle: s.idle, Read: relay.Reading(s.read.value), Checkpoint: s.checkpoint, Logger: a.log, Observer: m.RelayObserver()})
	if err != nil {
		return usagef("%w", err)
	}
	m.WatchRelay(s.source, r.Stats)
	background := []service.Component{&logReadiness{source: s.source, stats: r.Stats}}
	if s.progress > 0 {
		background = append(background, &progress{interval: s.progress, source: s.source, stats: r.Stats, log: a.log})
	}
	if s.pprof != "" {
		p, err := listenProfiles(s.pprof)
		if err != nil {
			return explainListen(err, "--pprof")
		}
		background = append(background, p)
	}
	a.log.Info("relay starts", "source", s.source, "database", connect.Redact(s.storeURL), "broker", connect.Redact(s.brokerURL))
	svc, err := service.New(service.Config{Name: "relay " + s.source, Background: background, Relays: []service.Component{r},
		Addr: s.addr, Metrics: m.Handler(), Logger: a.log})
	if err != nil {
		return err
	}
	return explainListen(svc.Run(ctx), "--http")
}

// openMigrated opens a database whose tables must be there and up to date.
func (a *app) openMigrated(ctx context.Context, url string) (*connect.Database, error) {
	db, err := openStore(ctx, url, connect.Options{Logger: a.log})
	if err != nil {
		return nil, err
	}
	if err := db.Ready(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// retry tries to open something until it is there, for as long as wait.
func retry[T any](ctx context.Context, a *app, wait time.Duration, open func() (T, error)) (T, error) {
	deadline := time.Now().Add(wait)
	for {
		v, err := open()
		var bad *connect.URLError
		if err == nil || ctx.Err() != nil || errors.As(err, &bad) || time.Now().After(deadline) {
			return v, err
		}
		a.log.Warn("not there yet, waiting", "error", oneLine(err), "until", timestamp(deadline))
		timer := time.NewTimer(min(time.Second, time.Until(deadline)+time.Millisecond))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// stopped turns an error into none where the cause is that a long-running
// command was asked to stop while it was starting.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (a *app) closing(what string, closeIt func() error) {
	if err := closeIt(); err != nil {
		a.log.Warn("cannot close", "what", what, "error", err)
	}
}

// explainListen says what to do about an address that is taken.
func explainListen(err error, flag string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; stop the program that uses it, or choose another with %s", err, flag)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w; choose a port above 1023 with %s", err, flag)
	}
	return err
}
