package main

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tidings.example/internal/bench"
	"tidings.example/internal/connect"
)

func newBenchCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Measure on your own servers what Tidings costs, beside the bare database and broker",
		GroupID: groupOperate,
		Long: `Bench measures on your own servers. Beside each figure it prints the floor: what the
same database or broker does without Tidings, in the same run, and the ratio.

Use a database of its own: the outbox must be empty, and the tables tidings_bench_rows
and tidings_outbox are written to.`,
		Example: `  tidings bench append --store-url postgres://user@host/bench
  tidings bench relay --store-url postgres://user@host/bench --broker-url kafka://host:9092`,
	}
	asGroup(a, cmd)
	cmd.AddCommand(
		newOneBench(a, "append", "What an append adds to the transaction that it joins", bench.Append, false,
			func(o *bench.Options) { o.Rows = 4000 }),
		newOneBench(a, "relay", "How fast a relay drains an outbox, and how long a message takes", bench.Relay, true,
			func(o *bench.Options) { o.Rows = 200_000 }),
		newOneBench(a, "inbox", "Messages a second through an inbox, single and batched", bench.Inbox, true,
			func(o *bench.Options) { o.Rows = 20_000 }),
		newBenchPathCommand(a),
		newBenchSagaCommand(a),
	)
	return cmd
}

// newOneBench makes the command for one benchmark; defaults sets what differs.
func newOneBench(a *app, name, short string, run func(context.Context, bench.Options) (*bench.Report, error), broker bool, defaults func(*bench.Options)) *cobra.Command {
	o := bench.Options{Payload: 300, Keys: 1000, For: 30 * time.Second, Workers: 16, Batch: 100}
	defaults(&o)
	cmd := &cobra.Command{Use: name, Short: short, Long: short + ".", Args: exactArgs()}
	cmd.Example = "  tidings bench " + name + " --store-url postgres://user@host/bench"
	flags := cmd.Flags()
	var source, target string
	read := newChoice("", "table", "log")
	addStoreFlag(flags, &o.StoreURL)
	flags.IntVar(&o.Rows, "rows", o.Rows, "amount of work: rows, messages or transactions")
	flags.IntVar(&o.Payload, "payload", o.Payload, "bytes of payload")
	flags.IntVar(&o.Keys, "keys", o.Keys, "number of different keys")
	flags.IntVar(&o.Workers, "workers", o.Workers, "transactions at the same time")
	way := newChoice("", "table", "delete", "log")
	if name == "append" {
		flags.Var(way, "append", "where an append goes, as the URL's parameter of this name; default: the table")
		cmd.Example += " --append log"
	}
	if broker {
		addBrokerFlag(flags, &o.BrokerURL)
		cmd.Example += " --broker-url kafka://host:9092"
		flags.IntVar(&o.Batch, "batch", o.Batch, "messages that share a transaction, where batches are measured")
	}
	if name == "relay" {
		addRelayBenchFlags(flags, &o, &source, &target, read)
		flags.IntVar(&o.Rate, "rate", 0, "then append so many messages a second, and measure how long each takes; 0 is not")
		flags.DurationVar(&o.For, "for", o.For, "how long to append at --rate")
		cmd.Example += " --rate 2000 --for 30s\n" +
			"  tidings bench relay --source postgres://user@host/bench --broker kafka://host:9092 --read log --kill"
	}
	output := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.StoreURL, o.BrokerURL, o.Read = cmp.Or(source, o.StoreURL), cmp.Or(target, o.BrokerURL), read.value
		if err := requireStore(o.StoreURL); err != nil {
			return err
		}
		if o.Append = way.value; o.Append != "" {
			o.StoreURL = withParameter(o.StoreURL, "append", o.Append)
		} else if _, after, ok := strings.Cut(o.StoreURL, "append="); ok {
			o.Append, _, _ = strings.Cut(after, "&")
		}
		if err := connect.CheckDatabaseURL(o.StoreURL); err != nil {
			return err
		}
		if broker {
			if err := requireBroker(o.BrokerURL); err != nil {
				return err
			}
			if err := connect.CheckBrokerURL(o.BrokerURL); err != nil {
				return err
			}
		}
		if err := o.Validate(); err != nil {
			return usagef("%w", err)
		}
		o.Progress = a.stderr
		report, err := run(cmd.Context(), o)
		if err != nil {
			return err
		}
		return a.writeReport(report, output.value)
	}
	return cmd
}

func (a *app) writeReport(r *bench.Report, output string) error {
	if output == "json" {
		return r.WriteJSON(a.stdout)
	}
	return r.WriteTable(a.stdout)
}

// checkURLs checks the URLs that are given, for benchmarks that need none.
func checkURLs(o *bench.Options) error {
	if o.StoreURL != "" {
		if err := connect.CheckDatabaseURL(o.StoreURL); err != nil {
			return err
		}
	}
	if o.BrokerURL != "" {
		return connect.CheckBrokerURL(o.BrokerURL)
	}
	return nil
}

// addRelayBenchFlags adds the flags that only the benchmark of a relay has.
func addRelayBenchFlags(flags *pflag.FlagSet, o *bench.Options, source, target *string, read *choice) {
	flags.StringVar(source, "source", "", "the same as --store-url")
	flags.StringVar(target, "broker", "", "the same as --broker-url")
	flags.Var(read, "read", "where the relay reads rows from; default: as the database says")
	flags.BoolVar(&o.Kill, "kill", false, "then kill -9 a relay in mid-drain, twice: restarted at once, and with a standby")
}

// withParameter adds a parameter to a URL.
func withParameter(url, name, value string) string {
	mark := "?"
	if strings.Contains(url, mark) {
		mark = "&"
	}
	return url + mark + name + "=" + value
}
