package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tidings.example/admin"
	"tidings.example/internal/connect"
)

func newCaptureList(a *app) *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the tables whose changes are captured",
		Long:  "List shows the tables with triggers of this program, and whether they fit the table still.",
		Example: `  tidings capture list --store-url sqlite:orders.db
  tidings capture list --output json | jq '.captures[] | select(.problems != [])'`,
		Args: exactArgs(),
	}
	output := addOutputFlag(cmd)
	addStoreFlag(cmd.Flags(), &url)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			all, err := db.Admin.Captures(ctx)
			if err != nil {
				return err
			}
			if output.value == "json" {
				list := make([]captureJSON, len(all))
				for i := range all {
					list[i] = newCaptureJSON(&all[i])
				}
				return writeJSON(a.stdout, map[string]any{"captures": list})
			}
			if len(all) == 0 {
				fmt.Fprintln(a.stdout, "No changes are captured.")
				return nil
			}
			table := [][]string{{"TABLE", "CHANNEL", "KEY", "OPERATIONS", "COLUMNS", "SINCE", "STATE"}}
			for _, c := range all {
				state := "ok"
				if len(c.Problems) > 0 {
					state = strings.Join(c.Problems, "; ")
				}
				table = append(table, []string{c.Schema + "." + c.Table, c.Channel, shorten(strings.Join(c.Key, ","), 40),
					strings.Join(c.Only, ","), strconv.Itoa(len(c.Fields)), timestamp(c.Since), state})
			}
			return writeTable(a.stdout, table...)
		})
	}
	return cmd
}

func newCaptureShow(a *app) *cobra.Command {
	var url, schema, table string
	cmd := &cobra.Command{
		Use:     "show --table TABLE",
		Short:   "Show what is captured of a table",
		Long:    "Show prints the settings and columns of one table, and what is wrong with them.",
		Example: `  tidings capture show --table customers`,
		Args:    exactArgs(),
	}
	output := addOutputFlag(cmd)
	addStoreFlag(cmd.Flags(), &url)
	addTableFlags(cmd, &schema, &table)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := requireTable(table); err != nil {
			return err
		}
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			found, err := findCapture(ctx, db, schema, table)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return writeJSON(a.stdout, newCaptureJSON(found))
			}
			return a.printCapture(found)
		})
	}
	return cmd
}

// findCapture returns the capture of one table.
func findCapture(ctx context.Context, db *connect.Database, schema, table string) (*admin.Captured, error) {
	all, err := db.Admin.Captures(ctx)
	if err != nil {
		return nil, err
	}
	var found []admin.Captured
	for _, c := range all {
		if c.Table == table && (schema == "" || c.Schema == schema) {
			found = append(found, c)
		}
	}
	switch {
	case len(found) == 0:
		return nil, negativef("no changes of table %q are captured; see tidings capture list", table)
	case len(found) > 1:
		return nil, usagef("--schema is missing: several tables are called %q", table)
	}
	return &found[0], nil
}

func (a *app) printCapture(c *admin.Captured) error {
	rows := [][]string{{"table", c.Schema + "." + c.Table}, {"channel", c.Channel}, {"types", c.Type + ".*"}, {"key", strings.Join(c.Key, ", ")},
		{"operations", strings.Join(c.Only, ", ")}, {"since", timestamp(c.Since)}, {"version", c.Version}}
	for _, f := range c.Fields {
		rows = append(rows, []string{"column", f.Name + " (" + f.Type + ")"})
	}
	for _, name := range c.Except {
		rows = append(rows, []string{"left out", name})
	}
	for _, p := range c.Problems {
		rows = append(rows, []string{"problem", p + ": install again"})
	}
	for _, w := range c.Warnings {
		rows = append(rows, []string{"not seen", w})
	}
	return writeTable(a.stdout, rows...)
}

func newCaptureSQL(a *app) *cobra.Command {
	var url string
	var remove bool
	cmd := &cobra.Command{
		Use:   "sql --table TABLE --channel CHANNEL",
		Short: "Print the SQL that install would run",
		Long: `SQL prints what install would run on the table as it is now, for people who run SQL
by hand, with psql, mysql or sqlite3, or with --remove what takes it away again: without
--channel, what is installed. It changes nothing. What is run by hand is not in the
audit table.`,
		Example: `  tidings capture sql --table customers --channel customers.changes >install.sql
  tidings capture sql --table customers --remove >remove.sql`,
		Args: exactArgs(),
	}
	addStoreFlag(cmd.Flags(), &url)
	spec := addSpecFlags(cmd)
	cmd.Flags().BoolVar(&remove, "remove", false, "print what removes it instead")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		installed := remove && spec.Table != "" && spec.Channel == ""
		if !installed {
			if err := checkSpecFlags(spec); err != nil {
				return err
			}
		}
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			if installed {
				c, err := findCapture(ctx, db, spec.Schema, spec.Table)
				if err != nil {
					return err
				}
				*spec = c.CaptureSpec
				spec.Columns, spec.Except = nil, nil // one may be gone from the table
			}
			text, removal, err := db.Admin.CaptureSQL(ctx, *spec)
			if err != nil {
				return captureError(err)
			}
			if remove {
				text = removal
			}
			_, err = fmt.Fprint(a.stdout, text)
			return err
		})
	}
	return cmd
}
