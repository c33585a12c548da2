// Command tidings runs the sample system and relays, and looks after the
// outboxes, inboxes and tables of services that use Tidings. docs/cli.md
// describes its commands, environment and exit codes; `tidings help` shows the
// same with examples.
//
// To test a change, run the tests of this package: they build the program and
// run it as a user would.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for a clean stop. From then on the system's own
	// handling is back, so that a second one ends the process at once.
	context.AfterFunc(ctx, stop)

	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	return a.execute(ctx, os.Args[1:])
}
