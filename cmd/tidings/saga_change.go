package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tidings.example/admin"
	"tidings.example/internal/connect"
	"tidings.example/saga"
	"tidings.example/saga/machine"
)

// sagaChange is a command that asks for something, of one saga or of a set.
type sagaChange struct {
	app     *app
	op      machine.Op
	url     string
	filter  sagaFilter
	all     bool
	dryRun  bool
	yes     bool
	wait    time.Duration
	output  *choice
	act     *action
	request saga.Request
}

// newSagaChange fills in a command's arguments and flags. stepUse is what --step
// means, check completes the request.
func newSagaChange(a *app, cmd *cobra.Command, op machine.Op, stepUse string, check func(*saga.Request) error) *cobra.Command {
	c := &sagaChange{app: a, op: op}
	cmd.Args = c.checkArgs
	c.output = addOutputFlag(cmd)
	flags := cmd.Flags()
	addStoreFlag(flags, &c.url)
	c.filter.addTo(flags, c.defaultState(), stepUse, "with --all-matching, change at most so many sagas")
	flags.BoolVar(&c.all, "all-matching", false, "instead of TYPE ID: all sagas that the flags select; needs --yes")
	flags.BoolVar(&c.dryRun, "dry-run", false, "list what would be asked of which saga, and change nothing")
	flags.BoolVarP(&c.yes, "yes", "y", false, "with --all-matching: do it")
	flags.DurationVar(&c.wait, "wait", 5*time.Second, "how long to wait until the service has done it; 0 is not at all")
	c.act = addActionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := c.checkFlags(flags, args); err != nil {
			return err
		}
		c.request = saga.Request{Op: op}
		if c.ofStep() {
			c.request.Step = c.filter.step
		}
		if err := check(&c.request); err != nil {
			return err
		}
		filter, err := c.filter.get(statesOf(c.defaultState())...)
		if err != nil {
			return err
		}
		action, err := c.act.get(a.getenv)
		if err != nil {
			return err
		}
		c.request.Actor, c.request.Reason = action.Actor, action.Reason
		return a.withStore(cmd.Context(), c.url, func(ctx context.Context, db *connect.Database) error {
			if len(args) == 2 {
				return c.one(ctx, db, args[0], args[1], action)
			}
			return c.set(ctx, db, filter, action)
		})
	}
	return cmd
}

// defaultState is what a set consists of without --state: that which needs help.
func (c *sagaChange) defaultState() string { return string(machine.Stuck) }

// ofStep reports whether the request is about a step, not the whole saga.
func (c *sagaChange) ofStep() bool { return c.op == machine.RetryNow || c.op == machine.Skip }

// checkArgs wants TYPE ID, or neither.
func (c *sagaChange) checkArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 && c.all {
		return nil
	}
	if len(args) == 0 {
		return usagef("TYPE and ID are missing: name a saga, or select several with --all-matching and --type, --state, --step, --age")
	}
	if c.all {
		return usagef("both a saga (%s) and --all-matching are given: use one of them", shorten(args[0], 40))
	}
	return exactArgs("TYPE", "ID")(cmd, args)
}

func (c *sagaChange) checkFlags(flags *pflag.FlagSet, args []string) error {
	if c.wait < 0 {
		return usagef("--wait must not be negative")
	}
	if len(args) == 2 {
		names := selecting
		if !c.ofStep() {
			names = append([]string{"step"}, names...)
		}
		for _, name := range names {
			if flags.Changed(name) {
				return usagef("--%s selects sagas for --all-matching, but one is named already; leave --%s out, or name none", name, name)
			}
		}
		return nil
	}
	if c.yes && c.dryRun {
		return usagef("both --dry-run and --yes are given: use one of them")
	}
	return nil
}

func (c *sagaChange) one(ctx context.Context, db *connect.Database, sagaType, id string, action admin.Action) error {
	s, err := db.Admin.GetSaga(ctx, sagaType, id)
	if err != nil {
		return sagaError(sagaType, id, err)
	}
	if c.dryRun {
		return c.printPlan([]admin.Saga{s})
	}
	asked := c.ask(ctx, db, []admin.Saga{s}, action)
	if err := asked[0].err; err != nil {
		return sagaError(sagaType, id, err)
	}
	return c.finish(ctx, db, asked)
}

func (c *sagaChange) set(ctx context.Context, db *connect.Database, filter admin.SagaFilter, action admin.Action) error {
	if err := checkType(ctx, db, filter.Type); err != nil {
		return err
	}
	sagas, err := db.Admin.ListSagas(ctx, filter)
	if err != nil {
		return err
	}
	if len(sagas) == filter.Limit {
		fmt.Fprintf(c.app.stderr, "There may be more than these %d; see --limit.\n", filter.Limit)
	}
	switch {
	case c.dryRun:
		return c.printPlan(sagas)
	case len(sagas) == 0:
		return negativef("no saga matches; see tidings saga list")
	case !c.yes:
		return usagef("this would %s %s; see which with --dry-run, and do it with --yes", c.op, count(int64(len(sagas)), "saga", "sagas"))
	}
	return c.finish(ctx, db, c.ask(ctx, db, sagas, action))
}

// printPlan is what --dry-run prints.
func (c *sagaChange) printPlan(sagas []admin.Saga) error {
	if c.output.value == "json" {
		return writeJSON(c.app.stdout, map[string]any{"dryRun": true, "request": c.request, "sagas": sagasJSON(sagas, time.Now())})
	}
	if len(sagas) == 0 {
		fmt.Fprintln(c.app.stdout, "No saga matches.")
		return nil
	}
	if err := c.app.printSagas(sagas); err != nil {
		return err
	}
	fmt.Fprintf(c.app.stdout, "Would %s %s; nothing was changed.\n", c.what(), count(int64(len(sagas)), "saga", "sagas"))
	return nil
}

// what is the request in words.
func (c *sagaChange) what() string {
	switch {
	case c.op == machine.RetryNow && c.request.Step != "":
		return "retry the step " + c.request.Step + " in"
	case c.op != machine.Skip:
		return string(c.op)
	}
	step, outcome := "that waits", "done"
	if c.request.Step != "" {
		step = c.request.Step
	}
	if !c.request.Success {
		outcome = "refused"
	}
	if c.request.ReplyType != "" {
		outcome += " with the reply " + c.request.ReplyType
	}
	return fmt.Sprintf("skip the step %s, as %s, in", step, outcome)
}
