package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tidings.example/admin"
	"tidings.example/internal/connect"
)

// lockJSON is a lock as commands print it for programs.
type lockJSON struct {
	Participant string    `json:"participant"`
	Target      string    `json:"target"`
	SagaType    string    `json:"sagaType"`
	SagaID      string    `json:"sagaId"`
	Since       time.Time `json:"since"`
	AgeSeconds  float64   `json:"ageSeconds"`
	// Waiting counts the commands of others that wait for the target.
	Waiting int `json:"waiting"`
}

func newLockJSON(l *admin.Lock, now time.Time) lockJSON {
	return lockJSON{Participant: l.Participant, Target: l.Target, SagaType: l.SagaType, SagaID: l.SagaID,
		Since: l.Since.UTC(), AgeSeconds: max(now.Sub(l.Since), 0).Seconds(), Waiting: l.Waiting}
}

func newSagaLocks(a *app) *cobra.Command {
	var url string
	var f admin.LockFilter
	cmd := &cobra.Command{
		Use:   "locks",
		Short: "List what a participant has locked for sagas, oldest first",
		Long: `Locks shows the targets that a participant has locked for sagas, oldest first, and how
many commands of others wait for each. It works on the participant's database, which
need not be that of the service that runs the saga. A lock goes when its saga ends: look
at the saga first, with tidings saga show.`,
		Example: `  tidings saga locks --store-url sqlite:kitchen.db
  tidings saga locks --older 1h
  tidings saga locks --participant kitchen --target Ticket/99
  tidings saga locks --type create-order --id 42 -o json`,
		Args: exactArgs(),
	}
	output := addOutputFlag(cmd)
	flags := cmd.Flags()
	addStoreFlag(flags, &url)
	flags.StringVar(&f.Participant, "participant", "", "only locks of this participant")
	flags.StringVar(&f.Target, "target", "", "only locks on this target")
	flags.StringVar(&f.SagaType, "type", "", "only locks of sagas of this type")
	flags.StringVar(&f.SagaID, "id", "", "only locks of the saga with this id")
	flags.DurationVar(&f.Older, "older", 0, "only locks that are at least so old, such as 1h")
	flags.IntVar(&f.Limit, "limit", 100, "show at most so many locks")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case f.Limit < 1:
			return usagef("--limit: %d is less than 1", f.Limit)
		case f.Older < 0:
			return usagef("--older: %s is negative; 1h is what was locked an hour ago, or before", f.Older)
		}
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			locks, err := db.Admin.ListLocks(ctx, f)
			if err != nil {
				return err
			}
			if output.value == "json" {
				all := make([]lockJSON, len(locks))
				for i := range locks {
					all[i] = newLockJSON(&locks[i], time.Now())
				}
				return writeJSON(a.stdout, map[string]any{"locks": all})
			}
			return a.printLocks(locks, f.Limit)
		})
	}
	return cmd
}

func (a *app) printLocks(locks []admin.Lock, limit int) error {
	if len(locks) == 0 {
		fmt.Fprintln(a.stdout, "Nothing is locked.")
		return nil
	}
	now, waiting := time.Now(), 0
	table := [][]string{{"PARTICIPANT", "TARGET", "SAGA", "SINCE", "AGE", "WAITING"}}
	for i := range locks {
		l := &locks[i]
		waiting += l.Waiting
		table = append(table, []string{l.Participant, l.Target, l.SagaType + " " + l.SagaID, timestamp(l.Since),
			span(max(now.Sub(l.Since), 0)), strconv.Itoa(l.Waiting)})
	}
	if err := writeTable(a.stdout, table...); err != nil {
		return err
	}
	waits := count(int64(waiting), "command waits", "commands wait")
	fmt.Fprintf(a.stdout, "%s; %s\n", count(int64(len(locks)), "lock", "locks"), waits)
	if len(locks) == limit {
		fmt.Fprintf(a.stderr, "There may be more than these %d; see --limit.\n", limit)
	}
	return nil
}

func newSagaUnlock(a *app) *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "unlock PARTICIPANT TARGET --reason WHY",
		Short: "Break a lock that a participant holds for a saga",
		Long: `Unlock removes a lock before its saga has ended; the audit table keeps it. The commands
that wait for the target are handled by the running service, in order, within a second
or so, and may see what the saga has not finished: let the saga end, or end it, where you
can.`,
		Example: `  tidings saga unlock kitchen Ticket/99 --store-url sqlite:kitchen.db \
    --reason 'its orders service is gone'`,
		Args: exactArgs("PARTICIPANT", "TARGET"),
	}
	addStoreFlag(cmd.Flags(), &url)
	act := addActionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		action, err := act.get(a.getenv)
		if err != nil {
			return err
		}
		participant, target := args[0], args[1]
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			locks, err := db.Admin.ListLocks(ctx, admin.LockFilter{Participant: participant, Target: target, Limit: 1})
			if err != nil {
				return err
			}
			err = db.Admin.BreakLock(ctx, participant, target, action)
			if errors.Is(err, admin.ErrNotFound) {
				return negativef("participant %q has no lock on %q; see tidings saga locks", participant, target)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "Broke the lock of %s on %s; the audit table keeps it.\n", printable(participant), printable(target))
			if len(locks) == 1 && locks[0].Waiting > 0 {
				fmt.Fprintf(a.stdout, "%s for it, and %s handled when the participant's service runs.\n",
					count(int64(locks[0].Waiting), "command waited", "commands waited"), isAre(locks[0].Waiting))
			}
			return nil
		})
	}
	return cmd
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
