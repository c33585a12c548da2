package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidings.example/examples/shared/system"
	"tidings.example/internal/suggest"
)

// demoSettings are the flags of `tidings demo`.
type demoSettings struct {
	dir, prefix, process  string
	system, store, broker *choice
	style                 *choice
	storeURL, brokerURL   string
	natsAddr              string
	addrs                 map[string]*string
	drain, wait           time.Duration
}

func newDemoCommand(a *app) *cobra.Command {
	s := demoSettings{system: newChoice(defaultSample, demoSystems...), style: newChoice("", styles...),
		store: newChoice("", "sqlite", "postgres", "mysql"), broker: newChoice("", "nats", "kafka"), addrs: map[string]*string{}}
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "Run a sample system: services that stay consistent through messages alone",
		GroupID: groupRun,
		Long: `Demo runs three services, each with a database of its own, and a gateway in front
of them. --system says which: customers-orders keeps orders and credit limits
consistent, by events or, with --style orchestration, by sagas, and has a page; ftgo
takes orders at once and validates them afterwards, in an orchestrated saga.

Without flags all of it runs in this process, on SQLite files and
NATS JetStream in the directory ./tidings-data. Ctrl-C stops it; started again, it
goes on where it was. Remove the directory to start afresh.

With --store and --broker the same code runs on servers: the demo makes a database
for each service on the server that --store-url names, and channels on that of
--broker-url. Their names begin with --prefix.

With --process one process runs alone, so that each can be killed by itself: start
all of them, and for NATS broker before them, with the same --system, --dir, --store
and --broker.`,
		Example: `  tidings demo
  tidings demo --dir /tmp/shop --addr 127.0.0.1:9000
  tidings demo --style orchestration --dir /tmp/orchestrated
  TIDINGS_DEMO_STORE_URL=postgres://me:secret@127.0.0.1/postgres tidings demo --broker kafka --broker-url kafka://127.0.0.1:9092
  tidings demo --process broker     # each in a terminal of its own; kill -9 whichever you like
  tidings demo --process customers
  tidings demo --process orders
  tidings demo --process history
  tidings demo --process gateway
  tidings demo --system ftgo --process order-service    # as those above`,
		Args: exactArgs(),
	}
	flags := cmd.Flags()
	flags.Var(s.system, "system", "which sample")
	flags.Var(s.style, "style", "how its services stay consistent: by events, or by sagas; default: choreography, for ftgo orchestration")
	flags.StringVar(&s.dir, "dir", "tidings-data", "directory for all data; created if it is missing")
	fromEnvironment(flags, "dir", "TIDINGS_DEMO_DIR")
	flags.Var(s.store, "store", "kind of the databases; default: that of --store-url, else sqlite")
	flags.StringVar(&s.storeURL, "store-url", "", "database server, such as postgres://user@host or mysql://user@host; a database is made for each service")
	fromEnvironment(flags, "store-url", "TIDINGS_DEMO_STORE_URL")
	flags.Var(s.broker, "broker", "kind of the broker; default: that of --broker-url, else nats")
	flags.StringVar(&s.brokerURL, "broker-url", "", "broker, such as nats://host:4222 or kafka://host:9092; NATS runs in this process without it")
	fromEnvironment(flags, "broker-url", "TIDINGS_DEMO_BROKER_URL")
	flags.StringVar(&s.process, "process", "", "run one process alone: "+allProcesses())
	flags.StringVar(&s.prefix, "prefix", "tidings_demo", "begins the names of databases and channels on servers")
	s.addrs[system.Gateway] = flags.String("addr", demoSamples[defaultSample].design.GatewayAddr, "where the gateway serves the page and the API")
	for _, sample := range demoSamples {
		for _, service := range sample.design.Services {
			s.addrs[service.Name] = flags.String(service.Name+"-addr", service.Addr, "where the process "+service.Name+" serves, if it runs alone")
		}
	}
	flags.StringVar(&s.natsAddr, "nats-addr", "127.0.0.1:4222", "where the process broker serves NATS")
	flags.DurationVar(&s.drain, "drain", 15*time.Second, "how long running work may take to finish when the demo stops")
	flags.DurationVar(&s.wait, "wait", 0, "how long to wait at the start for servers that do not answer; default: 30s with --process, else 0s")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := s.check(); err != nil {
			return err
		}
		for name := range s.addrs {
			if flag := name + "-addr"; flags.Changed(flag) && !slices.Contains(s.sample().processes(), name) {
				return usagef("--%s: the system %s has no process %s", flag, s.system.value, name)
			}
		}
		// Processes are killed and started in any order.
		if !flags.Changed("wait") && !s.whole() {
			s.wait = 30 * time.Second
		}
		// The banner says what runs; the log is for what needs attention, unless
		// somebody wants more, or runs processes one by one and watches them.
		if level := cmd.Flag("log-level"); !level.Changed && s.process == "" {
			a.logLevel.value = "warn"
			a.log = a.newLogger()
		}
		return a.runDemo(cmd.Context(), s)
	}
	return cmd
}

// check refuses what does not fit together, and fills in the kinds.
func (s *demoSettings) check() error {
	if err := s.checkStyle(); err != nil {
		return err
	}
	known := s.sample().processes()
	if s.process != "" && !slices.Contains(known, s.process) {
		return usagef("--process: there is no process %q in the system %s%s; it takes %s", shorten(s.process, 40), s.system.value,
			didYouMean("", suggest.Nearest(s.process, known)), strings.Join(known, ", "))
	}
	if err := s.checkStore(); err != nil {
		return err
	}
	if err := s.checkBroker(); err != nil {
		return err
	}
	if s.process == brokerProcess && !s.ownNATS() {
		return usagef("--process broker runs a NATS server of the demo's own; with --broker kafka or --broker-url there is none")
	}
	for name, addr := range s.addrs {
		flag := "--" + name + "-addr"
		if name == system.Gateway {
			flag = "--addr"
		}
		if err := checkAddr(flag, *addr); err != nil {
			return err
		}
	}
	if s.drain <= 0 || s.wait < 0 {
		return usagef("--drain must be a positive duration, and --wait not a negative one")
	}
	return checkAddr("--nats-addr", s.natsAddr)
}

// whole tells whether everything runs in this process.
func (s *demoSettings) whole() bool { return s.process == "" }

// sample is the system that runs.
func (s *demoSettings) sample() *demoSample { return demoSamples[s.system.value] }

// design is the system that runs, in its style.
func (s *demoSettings) design() *system.Design {
	if s.system.value == defaultSample {
		return designOf(s.style.value)
	}
	return s.sample().design
}

// processes are those of the sample that run here.
func (s *demoSettings) processes() []string {
	switch s.process {
	case "":
		return s.sample().design.Processes()
	case brokerProcess:
		return nil
	}
	return []string{s.process}
}

// runDemo runs what the settings say until ctx is done.
func (a *app) runDemo(ctx context.Context, s demoSettings) error {
	names := s.processes()
	if s.process == brokerProcess || s.whole() && s.ownNATS() {
		names = append(slices.Clone(names), brokerProcess)
	}
	dir, err := openDataDir(s.dir, names)
	if err != nil {
		return err
	}
	defer dir.close()
	if err := s.listenable(names); err != nil {
		return err
	}
	if s.store.value == "sqlite" {
		if err := dir.keepStyle(s.system.value, s.style.value); err != nil {
			return err
		}
	}
	d := &demo{app: a, settings: s, dir: dir}
	defer d.close()
	if s.process == brokerProcess {
		return stopped(ctx, d.runBroker(ctx))
	}
	return stopped(ctx, d.run(ctx))
}

// listenable finds out whether the addresses are free before anything is
// opened. Somebody may still take one; then Run says so.
func (s *demoSettings) listenable(names []string) error {
	for _, name := range names {
		addr, flag := "", "--"+name+"-addr"
		switch {
		case name == system.Gateway:
			addr, flag = *s.addrs[name], "--addr"
		case name == brokerProcess && !s.whole():
			addr, flag = s.natsAddr, "--nats-addr"
		case name != brokerProcess && !s.whole():
			addr = *s.addrs[name]
		default:
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return explainListen(fmt.Errorf("process %s: %w", name, err), flag)
		}
		if err := l.Close(); err != nil {
			return fmt.Errorf("process %s: %w", name, err)
		}
	}
	return nil
}
