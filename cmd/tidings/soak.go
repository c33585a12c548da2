package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	sample "tidings.example/examples/customers-orders"
	"tidings.example/examples/customers-orders/events"
	"tidings.example/internal/connect"
	"tidings.example/internal/soak"
)

// soakSettings are the flags of `tidings soak`.
type soakSettings struct {
	storeURL, brokerURL, dir, script string
	servers                          []string
	length, every, settle            time.Duration
	rate, customers, messages        int
	seed                             uint64
	read, style                      *choice
	strikes                          []string
}

func newSoakCommand(a *app) *cobra.Command {
	var s soakSettings
	cmd := &cobra.Command{
		Use:     "soak",
		Short:   "Kill processes of the sample under load, then prove that every message had its effect once",
		GroupID: groupOperate,
		Long: `Soak runs the sample system as separate processes, with two relays beside each
service that publishes, and sends orders, while it kills processes with SIGKILL at
random moments and starts them again. With --kill it also kills servers that
scripts/servers runs. At the end it waits for quiet and counts in the databases:
every order is settled, credit adds up, and an auditor's handler has left one row for
each message that was numbered, in the order of its lane.

With --messages it runs two relays and an auditor alone, and appends that many messages
itself within --for, now and then thousands in one transaction: for millions of messages.
With --strike it does more than kill: pause stops a relay for longer than its lease,
sessions ends the relays' database sessions; slot (PostgreSQL) and purge (MySQL) take the
log away from them, after which some messages may come twice, which are counted.

The kills follow from --seed, which is printed. Without --store-url and --broker-url
it runs on SQLite and NATS in --dir. On servers it makes databases whose names begin
with tidings_soak_, and leaves them for you to look at. Exit code 3 says that something
does not add up.`,
		Example: `  tidings soak --for 1m
  tidings soak --for 1h --store-url postgres://me:secret@127.0.0.1:15432 --broker-url kafka://127.0.0.1:19092 \
    --kill postgres --kill kafka
  tidings soak --messages 1000000 --for 2m --settle 10m --read log --strike pause,sessions,slot \
    --store-url postgres://me:secret@127.0.0.1:15432 --broker-url kafka://127.0.0.1:19092`,
		Args: exactArgs(),
	}
	flags := cmd.Flags()
	addStoreFlag(flags, &s.storeURL)
	addBrokerFlag(flags, &s.brokerURL)
	flags.StringVar(&s.dir, "dir", "", "directory for data and logs; default: a new one among the temporary files")
	flags.StringSliceVar(&s.servers, "kill", nil, "a server of scripts/servers to kill too: postgres, mariadb, kafka, nats; may be repeated")
	flags.StringVar(&s.script, "servers", "scripts/servers", "the script that kills and starts servers")
	flags.DurationVar(&s.length, "for", time.Minute, "how long orders come in")
	flags.DurationVar(&s.every, "every", 3*time.Second, "time between two kills, on average")
	flags.DurationVar(&s.settle, "settle", 3*time.Minute, "how long to wait for quiet at the end")
	flags.IntVar(&s.rate, "rate", 50, "requests a second")
	flags.IntVar(&s.customers, "customers", 20, "number of customers")
	flags.IntVar(&s.messages, "messages", 0, "append so many messages to an outbox directly, with no sample; 0 is the sample")
	s.read = newChoice("", "table", "log")
	flags.Var(s.read, "read", "where the relays read rows from; default: as the database says")
	s.style = newChoice(choreography, styles...)
	flags.Var(s.style, "style", "how the sample keeps consistent: choreography, by events, or orchestration, by sagas")
	flags.StringSliceVar(&s.strikes, "strike", nil, "a kind of strike beside the kills: pause, sessions, slot, purge; may be repeated")
	flags.Uint64Var(&s.seed, "seed", 0, "plan of the kills; 0 draws one")
	output := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.runSoak(cmd.Context(), s, output.value) }
	cmd.AddCommand(newAuditorCommand(a))
	return cmd
}

// newAuditorCommand is the process that a soak starts and kills; nobody types it.
func newAuditorCommand(a *app) *cobra.Command {
	var storeURL, brokerURL string
	var channels []string
	var batch int
	cmd := &cobra.Command{Use: "auditor", Short: "Handle every message by writing one row", Hidden: true, Args: exactArgs()}
	addStoreFlag(cmd.Flags(), &storeURL)
	addBrokerFlag(cmd.Flags(), &brokerURL)
	cmd.Flags().StringSliceVar(&channels, "channel", nil, "channel to follow; may be repeated")
	cmd.Flags().IntVar(&batch, "batch", 20, "messages that share a transaction, at most")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return soak.RunAuditor(cmd.Context(), storeURL, brokerURL, channels, batch, a.log)
	}
	return cmd
}

func (s *soakSettings) check() error {
	switch {
	case s.storeURL != "" && connect.CheckDatabaseURL(s.storeURL) != nil:
		return connect.CheckDatabaseURL(s.storeURL)
	case s.brokerURL != "" && connect.CheckBrokerURL(s.brokerURL) != nil:
		return connect.CheckBrokerURL(s.brokerURL)
	case s.length <= 0 || s.every <= 0 || s.settle <= 0:
		return usagef("--for, --every and --settle must be positive")
	case s.rate < 1 || s.rate > 10_000:
		return usagef("--rate must be from 1 to 10000")
	case s.customers < 1 || s.customers > 100_000:
		return usagef("--customers must be from 1 to 100000")
	case s.messages < 0:
		return usagef("--messages must not be negative")
	}
	if err := s.checkStrikes(); err != nil {
		return err
	}
	if len(s.servers) > 0 {
		if _, err := os.Stat(s.script); err != nil {
			return usagef("--kill needs scripts/servers: %s is not there; say where it is with --servers", s.script)
		}
	}
	return nil
}

// checkStrikes refuses strikes that the databases do not have.
func (s *soakSettings) checkStrikes() error {
	kind := "sqlite"
	if s.storeURL != "" {
		var err error
		if kind, err = connect.DatabaseKind(s.storeURL); err != nil {
			return err
		}
	}
	if s.read.value == "log" && kind == "sqlite" {
		return usagef("--read log: SQLite has no log that a relay can read; use --store-url")
	}
	only := map[string]string{soak.Pause: kind, soak.Slot: "postgres", soak.Purge: "mysql", soak.Sessions: kind}
	for _, strike := range s.strikes {
		switch has, known := only[strike]; {
		case !known:
			return usagef("--strike: %q is not one of pause, sessions, slot, purge", shorten(strike, 40))
		case has != kind || strike == soak.Sessions && kind == "sqlite":
			return usagef("--strike %s does not work on a database of the kind %s", strike, kind)
		case (strike == soak.Slot || strike == soak.Purge) && (s.messages == 0 || s.read.value != "log"):
			return usagef("--strike %s may repeat messages, which only --messages counts: use it with --messages and --read log", strike)
		}
	}
	return nil
}

func (a *app) runSoak(ctx context.Context, s soakSettings, output string) error {
	if err := s.check(); err != nil {
		return err
	}
	if s.seed == 0 {
		s.seed = rand.Uint64()
	}
	cfg, err := s.system(ctx)
	if err != nil {
		return err
	}
	cfg.Progress = a.stderr
	fmt.Fprintf(a.stderr, "data and logs are in %s\n", cfg.Dir)
	started := time.Now()
	counts, err := soak.Run(ctx, cfg)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if output == "json" {
		if e := writeJSON(a.stdout, counts); e != nil {
			return e
		}
	} else {
		printCounts(a.stdout, counts, time.Since(started), s.messages == 0)
	}
	if err != nil {
		return negativef("it does not add up: %w", err)
	}
	return nil
}

func printCounts(w io.Writer, c soak.Counts, took time.Duration, sample bool) {
	fmt.Fprintf(w, "seed %d, %d strikes in %s\n", c.Seed, c.Strikes, took.Round(time.Second))
	if sample {
		fmt.Fprintf(w, "orders %d: %d approved, %d cancelled\n", c.Orders, c.Approved, c.Cancelled)
		if n := c.Completed + c.Compensated; n > 0 {
			fmt.Fprintf(w, "sagas %d: %d completed, %d compensated, no lock left\n", n, c.Completed, c.Compensated)
		}
	}
	fmt.Fprintf(w, "messages %d, handled %d: lost %d, handled twice %d, out of order %d, parked %d, epochs %d\n",
		c.Committed, c.Handled, c.Lost, c.Twice, c.OutOfOrder, c.Parked, c.Epochs)
	if !sample {
		fmt.Fprintf(w, "never committed %d; the log was taken away %d times, after which %d messages came again\n",
			c.NotCommitted, c.Losses, c.Repeated)
	}
}

// system lays out the processes and databases of a run.
func (s *soakSettings) system(ctx context.Context) (soak.Config, error) {
	cfg := soak.Config{Dir: s.dir, Servers: s.servers, Script: s.script, For: s.length, Every: s.every, Settle: s.settle,
		Rate: s.rate, Customers: s.customers, Seed: s.seed, Messages: s.messages, Strikes: s.strikes, Read: s.read.value}
	var err error
	if cfg.Program, err = os.Executable(); err != nil {
		return cfg, err
	}
	if cfg.Dir == "" {
		if cfg.Dir, err = os.MkdirTemp("", "tidings-soak-"); err != nil {
			return cfg, err
		}
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err == nil {
		err = os.MkdirAll(cfg.Dir, 0o750)
	}
	if err != nil {
		return cfg, err
	}
	p := plan{settings: s, dir: cfg.Dir, prefix: fmt.Sprintf("tidings_soak_%08x", uint32(s.seed)^uint32(time.Now().Unix()))}
	if err := errors.Join(p.takeAddrs(), p.ensureDatabases(ctx)); err != nil {
		return cfg, err
	}
	cfg.Relays = map[string][]string{}
	if s.messages > 0 {
		cfg.Processes = p.messageProcesses()
		cfg.Producers, cfg.Auditor, cfg.Channel = []string{p.urls[sourceDatabase]}, p.urls[auditorProcess], p.channel()
		cfg.Relays[p.urls[sourceDatabase]] = []string{"relay 1", "relay 2"}
		return cfg, nil
	}
	cfg.Processes = p.processes()
	for _, name := range []string{sample.Customers, sample.Orders} {
		cfg.Relays[p.urls[name]] = []string{"relay " + name + " 1", "relay " + name + " 2"}
	}
	cfg.Gateway = "http://" + p.addrs[sample.Gateway]
	cfg.Producers = []string{p.urls[sample.Orders], p.urls[sample.Customers]}
	cfg.Consumers = []string{p.urls[sample.Orders], p.urls[sample.Customers], p.urls[sample.History]}
	cfg.Auditor = p.urls[auditorProcess]
	if p.orchestrated() {
		cfg.Sagas, cfg.Locks = []string{p.urls[sample.Orders]}, []string{p.urls[sample.Customers]}
	}
	return cfg, nil
}

func (p *plan) orchestrated() bool { return p.settings.style.value == orchestration }

const (
	auditorProcess = "auditor"
	// sourceDatabase is the one with the outbox, where there is no sample.
	sourceDatabase = "source"
)

// plan is the names, addresses and databases of a run.
type plan struct {
	settings    *soakSettings
	dir, prefix string
	addrs, urls map[string]string
}

func (p *plan) takeAddrs() error {
	p.addrs = map[string]string{}
	for _, name := range demoProcesses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() // only when all are taken, so that all are different
		p.addrs[name] = l.Addr().String()
	}
	return nil
}

func (p *plan) ensureDatabases(ctx context.Context) (err error) {
	p.urls = map[string]string{}
	names := append([]string{auditorProcess}, sample.Services...)
	if p.settings.messages > 0 {
		names = []string{auditorProcess, sourceDatabase}
	}
	for _, name := range names {
		if p.settings.storeURL == "" {
			p.urls[name] = "sqlite:" + escapePath(filepath.Join(p.dir, name+".db"))
			continue
		}
		if p.urls[name], err = connect.EnsureDatabase(ctx, p.settings.storeURL, p.prefix+"_"+name, connect.Options{}); err != nil {
			return err
		}
	}
	return nil
}

// names are those on the broker, as the demo chooses them.
func (p *plan) names() events.Names {
	if p.settings.brokerURL == "" {
		return events.Names{}
	}
	return events.Names{Prefix: p.prefix + "_"}
}

func (p *plan) broker() string {
	if p.settings.brokerURL == "" {
		return "nats://" + p.addrs[brokerProcess]
	}
	return p.settings.brokerURL
}

func (p *plan) processes() []soak.Process {
	var all []soak.Process
	if p.settings.brokerURL == "" {
		all = append(all, p.demo(brokerProcess))
	}
	for _, name := range []string{sample.Customers, sample.Orders, sample.History} {
		service := p.demo(name)
		service.Health = "http://" + p.addrs[name] + "/healthz"
		all = append(all, service)
	}
	for _, name := range []string{sample.Customers, sample.Orders} {
		for _, n := range []string{"1", "2"} {
			all = append(all, soak.Process{Name: "relay " + name + " " + n, Env: p.env(name),
				Args: p.relay(p.names().Source(name))})
		}
	}
	var channels []string
	for _, channel := range designOf(p.settings.style.value).Channels {
		channels = append(channels, p.names().Prefix+channel)
	}
	all = append(all, soak.Process{Name: auditorProcess, Args: []string{"soak", "auditor", "--channel", strings.Join(channels, ",")}, Env: p.env(auditorProcess)})
	gateway := p.demo(sample.Gateway)
	gateway.Health = "http://" + p.addrs[sample.Gateway] + "/readyz"
	return append(all, gateway)
}

// relay is the command line of a relay.
func (p *plan) relay(source string, more ...string) []string {
	args := append([]string{"relay", "--source", source, "--wait", "1m"}, more...)
	if read := p.settings.read.value; read != "" {
		args = append(args, "--read", read)
	}
	return args
}

// channel is the one of a run without the sample.
func (p *plan) channel() string { return p.prefix + "_messages" }

// messageProcesses are those of a run without the sample.
func (p *plan) messageProcesses() []soak.Process {
	var all []soak.Process
	if p.settings.brokerURL == "" {
		all = append(all, p.demo(brokerProcess))
	}
	for _, n := range []string{"1", "2"} {
		all = append(all, soak.Process{Name: "relay " + n, Env: p.env(sourceDatabase), Args: p.relay("soak", "--channel", p.channel())})
	}
	return append(all, soak.Process{Name: auditorProcess, Env: p.env(auditorProcess),
		Args: []string{"soak", "auditor", "--channel", p.channel(), "--batch", "200"}})
}

// env passes URLs on where no process list shows them.
func (p *plan) env(database string) []string {
	return []string{"TIDINGS_STORE_URL=" + p.urls[database], "TIDINGS_BROKER_URL=" + p.broker()}
}

// demo is one process of the sample.
func (p *plan) demo(name string) soak.Process {
	args := []string{"demo", "--style", p.settings.style.value, "--process", name, "--dir", p.dir, "--prefix", p.prefix, "--addr", p.addrs[sample.Gateway], "--nats-addr", p.addrs[brokerProcess]}
	for _, service := range sample.Services {
		args = append(args, "--"+service+"-addr", p.addrs[service])
	}
	return soak.Process{Name: name, Args: args,
		Env: []string{"TIDINGS_DEMO_STORE_URL=" + p.settings.storeURL, "TIDINGS_DEMO_BROKER_URL=" + p.settings.brokerURL}}
}
