package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidings.example/admin"
	"tidings.example/internal/connect"
)

// captureJSON is one table of `capture list --output json`.
type captureJSON struct {
	Schema   string             `json:"schema"`
	Table    string             `json:"table"`
	Channel  string             `json:"channel"`
	Type     string             `json:"type"`
	Key      []string           `json:"key"`
	Only     []string           `json:"only"`
	Version  string             `json:"version"`
	Columns  []captureFieldJSON `json:"columns"`
	Since    time.Time          `json:"since"`
	Problems []string           `json:"problems"`
	Warnings []string           `json:"warnings"`
}

type captureFieldJSON struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

func newCaptureJSON(c *admin.Captured) captureJSON {
	j := captureJSON{Schema: c.Schema, Table: c.Table, Channel: c.Channel, Type: c.Type, Key: c.Key, Only: c.Only, Version: c.Version,
		Since: c.Since.UTC(), Problems: c.Problems, Warnings: c.Warnings, Columns: []captureFieldJSON{}}
	for _, f := range c.Fields {
		j.Columns = append(j.Columns, captureFieldJSON(f))
	}
	return j
}

func newCaptureCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "capture",
		Short:   "Send the changes of a table, for services that cannot be changed",
		GroupID: groupOperate,
		Long: `Capture installs triggers on a table of a service. They append a message to the
outbox for each row that is inserted, updated or deleted, with the old and the new
row as JSON, in the transaction of the change. The service is not changed and
needs no new privilege.

docs/capture.md says which changes no trigger sees, docs/formats/capture.md what
is in a message.`,
		Example: `  tidings capture sql --table customers --channel customers.changes
  tidings capture install --table customers --channel customers.changes --reason 'feeds the search'
  tidings capture list
  tidings capture remove --table customers --reason 'the service appends itself now'`,
	}
	asGroup(a, cmd)
	cmd.AddCommand(newCaptureInstall(a), newCaptureList(a), newCaptureShow(a), newCaptureSQL(a), newCaptureRemove(a))
	return cmd
}

// addTableFlags adds --table and --schema.
func addTableFlags(cmd *cobra.Command, schema, table *string) {
	cmd.Flags().StringVar(table, "table", "", "table whose changes to capture, as the database spells it (required)")
	cmd.Flags().StringVar(schema, "schema", "", "schema of the table (MySQL: database); that of the connection if not given")
}

func requireTable(table string) error {
	if table == "" {
		return usagef("--table is missing: name the table")
	}
	return nil
}

// addSpecFlags adds what says how to capture.
func addSpecFlags(cmd *cobra.Command) *admin.CaptureSpec {
	s := &admin.CaptureSpec{}
	addTableFlags(cmd, &s.Schema, &s.Table)
	flags := cmd.Flags()
	flags.StringVar(&s.Channel, "channel", "", "channel of the messages (required)")
	flags.StringVar(&s.Type, "type", "", "types are this and .inserted, .updated, .deleted; the table's name if not given")
	flags.StringSliceVar(&s.Key, "key", nil, "columns of the message key; the primary key if not given")
	flags.StringSliceVar(&s.Only, "only", nil, "operations to capture, out of insert,update,delete; all if not given")
	flags.StringSliceVar(&s.Columns, "columns", nil, "columns to capture; all if not given")
	flags.StringSliceVar(&s.Except, "except", nil, "columns to leave out")
	return s
}

func checkSpecFlags(s *admin.CaptureSpec) error {
	if err := requireTable(s.Table); err != nil {
		return err
	}
	if s.Channel == "" {
		return usagef("--channel is missing: name the channel of the messages")
	}
	return captureError(admin.ValidateCaptureSpec(s))
}

func newCaptureInstall(a *app) *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "install --table TABLE --channel CHANNEL --reason WHY",
		Short: "Install the triggers on a table, or replace them",
		Long: `Install makes the triggers. Where the same is installed it changes nothing; where
other settings are, or the columns have changed, it replaces the triggers while
the table is locked, so that no change is missed. Rows that are in the table
already are not sent.`,
		Example: `  tidings capture install --table customers --channel customers.changes --reason 'feeds the search'
  tidings capture install --table orders --schema shop --channel orders --type Order --only insert,update --except card_number --reason 'audit'`,
		Args: exactArgs(),
	}
	addStoreFlag(cmd.Flags(), &url)
	spec := addSpecFlags(cmd)
	act := addActionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkSpecFlags(spec); err != nil {
			return err
		}
		action, err := act.get(a.getenv)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			c, changed, err := db.Admin.InstallCapture(ctx, *spec, action)
			if err != nil {
				return captureError(err)
			}
			if !changed {
				fmt.Fprintf(a.stdout, "Nothing to change: %s.%s goes to channel %s since %s.\n", c.Schema, c.Table, c.Channel, timestamp(c.Since))
				return nil
			}
			fmt.Fprintf(a.stdout, "Changes of %s.%s go to channel %s (key %s, %s, version %s).\n",
				c.Schema, c.Table, c.Channel, strings.Join(c.Key, ", "), count(int64(len(c.Fields)), "column", "columns"), c.Version)
			return nil
		})
	}
	return cmd
}

func newCaptureRemove(a *app) *cobra.Command {
	var url, schema, table string
	cmd := &cobra.Command{
		Use:   "remove --table TABLE --reason WHY",
		Short: "Remove the triggers from a table",
		Long: `Remove takes the triggers away. Messages that are in the outbox already are
published; changes from now on are not captured.`,
		Example: `  tidings capture remove --table customers --reason 'the service appends itself now'`,
		Args:    exactArgs(),
	}
	addStoreFlag(cmd.Flags(), &url)
	addTableFlags(cmd, &schema, &table)
	act := addActionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := requireTable(table); err != nil {
			return err
		}
		action, err := act.get(a.getenv)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			err := db.Admin.RemoveCapture(ctx, schema, table, action)
			if errors.Is(err, admin.ErrNotFound) {
				return negativef("%w; see tidings capture list", err)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "Removed the triggers from %s.\n", table)
			return nil
		})
	}
	return cmd
}

// captureError names the flag of what was asked wrongly, and is the answer no where
// there is no such table.
func captureError(err error) error {
	var bad *admin.CaptureSpecError
	switch {
	case errors.As(err, &bad):
		return usagef("--%s", strings.Replace(bad.Error(), " and except ", " and --except ", 1))
	case errors.Is(err, admin.ErrNotFound):
		return negativef("%w; check --table and --schema", err)
	}
	return err
}
