package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tidings.example"
	"tidings.example/internal/bench"
	"tidings.example/internal/connect"
)

func newBenchSagaCommand(a *app) *cobra.Command {
	o := bench.Options{Rows: 10_000, Keys: 1, Workers: 16, Batch: 32, Payload: 300, For: 20 * time.Second, Waiting: 100_000}
	cmd := &cobra.Command{
		Use: "saga", Short: "Sagas of three steps a second, how long one takes, and what waiting ones cost", Args: exactArgs(),
		Long: `Sagas of three steps a second: a local one, a command to a participant, a local one.
Orchestrator and participant have a database each; relays and both services run in this
process. The floor is as many bare transactions, three for a saga, on the orchestrator's
database. Then sagas are started at half of that rate, for the time from start to end,
and at last many sagas wait for a day while the CPU time of this process is read.

Without --store-url it runs on SQLite, without --broker-url on NATS, both in a temporary
directory. On servers it makes databases whose names begin with tidings_bench_, and
leaves them.`,
		Example: "  tidings bench saga\n  tidings bench saga --store-url postgres://me@host --broker-url kafka://host:9092",
	}
	flags := cmd.Flags()
	addStoreFlag(flags, &o.StoreURL)
	addBrokerFlag(flags, &o.BrokerURL)
	flags.IntVar(&o.Rows, "rows", o.Rows, "number of sagas")
	flags.IntVar(&o.Workers, "workers", o.Workers, "sagas that are started at the same time")
	flags.IntVar(&o.Batch, "batch", o.Batch, "replies, and commands, that may share a transaction")
	flags.DurationVar(&o.For, "for", o.For, "how long to start sagas at half of the rate; 0 is not")
	flags.IntVar(&o.Waiting, "waiting", o.Waiting, "sagas that wait while the CPU time is read; 0 is not")
	output := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.Rows < 1 || o.Workers < 1 || o.Batch < 1 || o.For < 0 || o.Waiting < 0 {
			return usagef("--rows, --workers and --batch must be positive, --for and --waiting not negative")
		}
		if err := checkURLs(&o); err != nil {
			return err
		}
		o.Progress = a.stderr
		report, err := benchSaga(cmd.Context(), o)
		if err != nil {
			return err
		}
		return a.writeReport(report, output.value)
	}
	return cmd
}

func benchSaga(ctx context.Context, o bench.Options) (report *bench.Report, err error) {
	dir, err := os.MkdirTemp("", "tidings-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, closeBroker, err := benchBroker(ctx, o.BrokerURL, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeBroker()) }()
	id := tidings.NewID()
	prefix := "tidings_bench_" + id[len(id)-8:]
	return bench.Saga(ctx, o, b, func(name string) (*connect.Database, error) {
		return benchDatabase(ctx, o.StoreURL, dir, prefix+"_"+name)
	})
}
