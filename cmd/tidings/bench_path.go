package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"tidings.example"
	"tidings.example/broker/natsjs"
	sample "tidings.example/examples/customers-orders"
	"tidings.example/internal/bench"
	"tidings.example/internal/connect"
)

// newBenchPathCommand measures the whole sample, which only this package may import.
func newBenchPathCommand(a *app) *cobra.Command {
	o := bench.Options{Rows: 5000, Keys: 100, Workers: 16, Batch: 1, Payload: 300}
	cmd := &cobra.Command{
		Use: "path", Short: "Orders a second through the whole sample system", Args: exactArgs(),
		Long: `Orders a second through the whole sample system, which runs in this process: HTTP,
outbox, relay, broker, inbox, and back. Without --store-url it runs on SQLite, without
--broker-url on NATS, both in a temporary directory. On servers it makes databases
whose names begin with tidings_bench_, and leaves them.`,
		Example: "  tidings bench path\n  tidings bench path --store-url postgres://me@host --broker-url kafka://host:9092 --rows 20000",
	}
	flags := cmd.Flags()
	addStoreFlag(flags, &o.StoreURL)
	addBrokerFlag(flags, &o.BrokerURL)
	flags.IntVar(&o.Rows, "rows", o.Rows, "number of orders")
	flags.IntVar(&o.Keys, "keys", o.Keys, "number of customers")
	flags.IntVar(&o.Workers, "workers", o.Workers, "requests at the same time")
	output := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.Rows < 1 || o.Keys < 1 || o.Workers < 1 {
			return usagef("--rows, --keys and --workers must be positive")
		}
		if err := checkURLs(&o); err != nil {
			return err
		}
		o.Progress = a.stderr
		report, err := a.benchPath(cmd.Context(), o)
		if err != nil {
			return err
		}
		return a.writeReport(report, output.value)
	}
	return cmd
}

// benchPath starts the sample, measures it and stops it.
func (a *app) benchPath(ctx context.Context, o bench.Options) (report *bench.Report, err error) {
	dir, err := os.MkdirTemp("", "tidings-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	id := tidings.NewID()
	prefix := "tidings_bench_" + id[len(id)-8:]
	b, closeBroker, err := benchBroker(ctx, o.BrokerURL, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeBroker()) }()
	cfg := sample.Config{Databases: map[string]*connect.Database{}, Broker: b, Prefix: prefix + "_", Metrics: nil,
		Addrs: map[string]string{sample.Gateway: "127.0.0.1:0"}}
	for _, name := range sample.Services {
		db, err := benchDatabase(ctx, o.StoreURL, dir, prefix+"_"+name)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		cfg.Databases[name] = db
	}
	system, err := sample.New(cfg)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- system.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := system.WaitReady(limited); err != nil {
		return nil, fmt.Errorf("the sample does not get ready: %w", err)
	}
	return bench.Path(ctx, o, bench.PathSystem{Base: "http://" + system.Addr(sample.Gateway), Orders: cfg.Databases[sample.Orders], Broker: b.Kind})
}

// benchDatabase makes a database of that name on a server, or a file in dir.
func benchDatabase(ctx context.Context, storeURL, dir, name string) (*connect.Database, error) {
	url := "sqlite:" + escapePath(filepath.Join(dir, name+".db"))
	if storeURL != "" {
		var err error
		if url, err = connect.EnsureDatabase(ctx, storeURL, name, connect.Options{}); err != nil {
			return nil, err
		}
	}
	return connect.OpenDatabase(ctx, url, connect.Options{Create: true})
}

// benchBroker connects to a broker, or starts NATS in this process.
func benchBroker(ctx context.Context, url, dir string) (*connect.Broker, func() error, error) {
	if url != "" {
		b, err := connect.OpenBroker(ctx, url, connect.Options{})
		if err != nil {
			return nil, nil, err
		}
		return b, b.Close, nil
	}
	server, err := natsjs.StartEmbedded(natsjs.EmbeddedConfig{Dir: filepath.Join(dir, "nats")})
	if err != nil {
		return nil, nil, err
	}
	b, err := natsjs.Open(ctx, natsjs.Config{Server: server})
	if err != nil {
		return nil, nil, errors.Join(err, server.Close())
	}
	return connect.NewNATS(b), func() error { return errors.Join(b.Close(), server.Close()) }, nil
}
