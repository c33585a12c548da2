package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"
)

// commands are all commands of the program, in the order of the help text. A
// new one is a file with a constructor, and a line here.
var commands = []func(*app) *cobra.Command{
	newDemoCommand,
	newRelayCommand,
	newDoctorCommand,
	newMigrateCommand,
	newBenchCommand,
	newSoakCommand,
	newOutboxCommand,
	newParkedCommand,
	newSagaCommand,
	newAuditCommand,
	newCaptureCommand,
	newVersionCommand,
}

// The groups of commands in the help text.
const (
	groupRun     = "run"
	groupOperate = "operate"
)

// app is one run of the program.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string

	args      []string
	logLevel  *choice
	logFormat *choice
	log       *slog.Logger
}

// execute runs the command that args name and returns the exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	a.args = args
	root := a.newRoot()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintf(a.stderr, "tidings: %s\n", oneLine(err))
	}
	return exitCode(ctx, err)
}

func (a *app) newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:     "tidings",
		Version: readVersion().Version, // for --version
		Short:   "Messages between services, none lost and none handled twice",
		Long: `Tidings keeps services consistent through messages: an outbox in each service's
own database, a relay to Kafka or NATS, and an inbox that handles each message
once. This program runs the sample system and relays, and looks after the rest.

Databases and brokers are named by URL, with a flag or in the environment:
  sqlite:orders.db   postgres://user:password@host/db   mysql://user:password@host/db
  nats://host:4222   kafka://host:9092
Prefer the environment for URLs with passwords: other users see command lines.

Exit codes: 0 done; 1 failed; 2 wrong usage, nothing was tried; 3 the answer is
no (problems found, migrations pending, no such message); 130 interrupted.`,
		Example: `  tidings demo                                          # the whole sample, on SQLite and NATS
  export TIDINGS_STORE_URL=postgres://app:secret@db/orders
  export TIDINGS_BROKER_URL=kafka://broker:9092
  tidings doctor                                        # is everything as it should be?
  tidings migrate up                                    # create the tables
  tidings relay --source orders                         # publish what is committed`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.applyEnvironment(cmd); err != nil {
				return err
			}
			a.log = a.newLogger()
			return nil
		},
	}
	a.logLevel = newChoice("info", "debug", "info", "warn", "error")
	a.logFormat = newChoice("text", "text", "json")
	flags := root.PersistentFlags()
	flags.Var(a.logLevel, "log-level", "log this and what is worse")
	flags.Var(a.logFormat, "log-format", "how the log on stderr is written")
	fromEnvironment(flags, "log-level", "TIDINGS_LOG_LEVEL")
	fromEnvironment(flags, "log-format", "TIDINGS_LOG_FORMAT")

	root.AddGroup(&cobra.Group{ID: groupRun, Title: "Run:"}, &cobra.Group{ID: groupOperate, Title: "Look after:"})
	for _, construct := range commands {
		root.AddCommand(construct(a))
	}
	asGroup(a, root)
	root.SetHelpCommand(newHelpCommand())
	root.SetFlagErrorFunc(a.flagError)
	return root
}
