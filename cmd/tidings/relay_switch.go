package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tidings.example/admin"
	"tidings.example/internal/connect"
)

func newRelaySwitch(a *app) *cobra.Command {
	var url string
	var force bool
	var wait time.Duration
	to := newChoice("", "log", "table")
	cmd := &cobra.Command{
		Use:   "switch --to log|table --reason WHY",
		Short: "Change where rows are read from, while relays run",
		Long: `Switch asks the leading relay to read rows from the log, or from the table, and waits
until it does. The relay first waits for what is on its way; nothing is repeated and
nothing is left out.

Messages that were appended past the table cannot be read from it: for a day after the
last one a switch to the table is refused. --force does it nevertheless, and whatever of
them is not published yet is lost.

Exit code 3: it was refused, or has not happened within --wait; the wish stays.`,
		Example: `  tidings relay switch --to log --reason 'polling costs too much'
  tidings relay switch --to table --reason 'upgrade of the database' --wait 2m`,
		Args: exactArgs(),
	}
	addStoreFlag(cmd.Flags(), &url)
	cmd.Flags().Var(to, "to", "where to read rows from (required)")
	cmd.Flags().BoolVar(&force, "force", false, "switch to the table though messages were appended past it")
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long to wait until it has happened; 0 is not at all")
	act := addActionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if to.value == "" {
			return usagef("--to is missing: say log or table")
		}
		if wait < 0 {
			return usagef("--wait must not be negative")
		}
		action, err := act.get(a.getenv)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			return a.switchReading(ctx, db, to.value, force, wait, action)
		})
	}
	return cmd
}

func (a *app) switchReading(ctx context.Context, db *connect.Database, to string, force bool, wait time.Duration, action admin.Action) error {
	if err := db.NeedLog(); err != nil {
		return err
	}
	err := db.Log.AskReading(ctx, to, force, action)
	if errors.Is(err, admin.ErrTableless) {
		return negativef("%w: what of them is not published would be lost; wait a day after the last one, or use --force", err)
	}
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(wait); ; {
		s, err := readRelayState(ctx, db)
		switch {
		case err != nil:
			return err
		case s.reading() == to && s.asked() == "":
			fmt.Fprintf(a.stdout, "Rows are read from the %s.\n", to)
			return nil
		case wait == 0:
			fmt.Fprintf(a.stdout, "Asked to read rows from the %s.\n", to)
			return nil
		case time.Now().After(deadline):
			return negativef("asked to read rows from the %s, and after %s that has not happened: %s", to, span(wait), s.obstacle())
		}
		if err := waitOr(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// obstacle says why a switch has not happened.
func (s relayState) obstacle() string {
	switch {
	case s.backlog.Holder == "":
		return "nobody leads; it will when a relay starts"
	case s.asked() == "":
		return "the relay that leads has withdrawn it; its log says why"
	case s.backlog.Oldest > time.Minute:
		return fmt.Sprintf("%s leads and waits for the broker to take what is on its way (the oldest row is %s old); see its /readyz and its log",
			s.backlog.Holder, span(s.backlog.Oldest))
	}
	return fmt.Sprintf("%s leads and has not done it yet; see its /readyz and its log", s.backlog.Holder)
}

func newRelayDropLog(a *app) *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "drop-log --reason WHY",
		Short: "Let the database forget the log that it keeps for a relay",
		Long: `Drop-log lets the database forget the log that it keeps for a relay, for one that will
not come back: on PostgreSQL the replication slot is dropped, which frees the disk. It
is refused while a relay reads the log: stop it first, or switch to the table.

Nothing in the table is lost: a relay that reads the log later takes what is not
published from the table, under a new epoch. Messages that were appended past the
table and are not published are lost.`,
		Example: `  tidings relay drop-log --reason 'the service was retired'`,
		Args:    exactArgs(),
	}
	addStoreFlag(cmd.Flags(), &url)
	act := addActionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		action, err := act.get(a.getenv)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			if err := db.NeedLog(); err != nil {
				return err
			}
			switch err := db.Log.DropLog(ctx, action); {
			case errors.Is(err, admin.ErrInUse):
				return negativef("%w; to switch, run: tidings relay switch --to table", err)
			case errors.Is(err, admin.ErrNotFound):
				return negativef("the database keeps no log for a relay; see tidings relay status")
			case err != nil:
				return err
			}
			fmt.Fprintln(a.stdout, "The database keeps no log for a relay any more.")
			return nil
		})
	}
	return cmd
}
