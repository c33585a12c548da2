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

// setAsideJSON is one row of `outbox list --output json`.
type setAsideJSON struct {
	Position   int64       `json:"position"`
	Reason     string      `json:"reason"`
	AsideAt    time.Time   `json:"asideAt"`
	RetryAsked bool        `json:"retryAsked"`
	Message    messageJSON `json:"message"`
}

func newOutboxList(a *app) *cobra.Command {
	var url string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the rows that were set aside, and why",
		Long:  "List shows the rows that the relay could not publish, by position, each with the reason.",
		Example: `  tidings outbox list --store-url sqlite:orders.db
  tidings outbox list --output json --limit 1000`,
		Args: exactArgs(),
	}
	output := addOutputFlag(cmd)
	addStoreFlag(cmd.Flags(), &url)
	cmd.Flags().IntVar(&limit, "limit", 100, "show at most so many rows")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit < 1 {
			return usagef("--limit: %d is less than 1", limit)
		}
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			rows, err := db.Admin.ListSetAside(ctx, limit)
			if err != nil {
				return err
			}
			if output.value == "json" {
				all := make([]setAsideJSON, len(rows))
				for i, r := range rows {
					all[i] = setAsideJSON{Position: r.Position, Reason: r.Reason, AsideAt: r.AsideAt.UTC(),
						RetryAsked: r.RetryAsked, Message: newMessageJSON(&r.Message)}
				}
				return writeJSON(a.stdout, map[string]any{"setAside": all})
			}
			return a.printSetAside(rows, limit)
		})
	}
	return cmd
}

func (a *app) printSetAside(rows []admin.SetAsideRow, limit int) error {
	if len(rows) == 0 {
		fmt.Fprintln(a.stdout, "Nothing is set aside.")
		return nil
	}
	table := [][]string{{"POSITION", "SINCE", "CHANNEL", "KEY", "TYPE", "REASON"}}
	for _, r := range rows {
		reason := r.Reason
		if r.RetryAsked {
			reason = "(retry asked) " + reason
		}
		table = append(table, []string{strconv.FormatInt(r.Position, 10), timestamp(r.AsideAt),
			shorten(r.Message.Channel, 40), shorten(r.Message.Key, 40), shorten(r.Message.Type, 40), reason})
	}
	if err := writeTable(a.stdout, table...); err != nil {
		return err
	}
	if len(rows) == limit {
		fmt.Fprintf(a.stderr, "There may be more than these %d; see --limit.\n", limit)
	}
	return nil
}

func newOutboxRetry(a *app) *cobra.Command {
	var url, channel, key string
	cmd := &cobra.Command{
		Use:   "retry --channel CHANNEL --key KEY --reason WHY",
		Short: "Ask the relay to try the rows of a key again",
		Long: `Retry asks the relay to try all set-aside rows of one key again, in order. It does
so within about a second, if one runs. Rows that still cannot be published are
set aside again.`,
		Example: `  tidings outbox retry --channel orders --key 42 --reason 'limit of the broker raised'`,
		Args:    exactArgs(),
	}
	addStoreFlag(cmd.Flags(), &url)
	cmd.Flags().StringVar(&channel, "channel", "", "channel of the rows (required); empty for rows without one")
	cmd.Flags().StringVar(&key, "key", "", "key of the rows; empty for rows without a key")
	act := addActionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !cmd.Flags().Changed("channel") {
			return usagef("--channel is missing: see the column CHANNEL of tidings outbox list")
		}
		action, err := act.get(a.getenv)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			err := db.Admin.RetrySetAside(ctx, channel, key, action)
			if errors.Is(err, admin.ErrNotFound) {
				return negativef("no row of channel %q and key %q is set aside; see tidings outbox list", channel, key)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "Asked the relay to try channel %q, key %q again.\n", channel, key)
			return nil
		})
	}
	return cmd
}

func newOutboxDiscard(a *app) *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "discard POSITION --reason WHY",
		Short: "Give one row that was set aside up for good",
		Long: `Discard removes one set-aside row: its message is never published. The audit table
keeps it whole, with the reason. What waits behind it under the same key is tried
again.`,
		Example: `  tidings outbox discard 1207 --reason 'test data'`,
		Args:    exactArgs("POSITION"),
	}
	addStoreFlag(cmd.Flags(), &url)
	act := addActionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		position, err := parseID("POSITION", args[0])
		if err != nil {
			return err
		}
		action, err := act.get(a.getenv)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			err := db.Admin.DiscardSetAside(ctx, position, action)
			if errors.Is(err, admin.ErrNotFound) {
				return negativef("no row with position %d is set aside; see tidings outbox list", position)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "Discarded row %d; the audit table keeps it.\n", position)
			return nil
		})
	}
	return cmd
}

// parseID reads a number that a list has shown.
func parseID(name, s string) (int64, error) {
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id < 0 {
		return 0, usagef("%s: %q is not a whole number", name, shorten(s, 40))
	}
	return id, nil
}
