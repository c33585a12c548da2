package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidings.example/admin"
	"tidings.example/internal/connect"
)

// migrationJSON is one migration of `migrate status --output json`.
type migrationJSON struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
	// AppliedAt is null for one that is pending.
	AppliedAt *time.Time `json:"appliedAt"`
}

func newMigrateCommand(a *app) *cobra.Command {
	var url string
	var print bool
	cmd := &cobra.Command{
		Use:     "migrate",
		Short:   "Create and update the tables of Tidings in a database",
		GroupID: groupOperate,
		Long: `Migrate creates the tables of Tidings in a service's own database, and brings them
up to date. All begin with tidings_; other tables are not touched. Up may be run
at any time, by several at once. Who may not, or does not want to, let a program
change tables can run the SQL that --print writes, whole and in order.`,
		Example: `  tidings migrate up --store-url postgres://owner:secret@db/orders
  tidings migrate status --output json
  tidings migrate --print --store-url mysql://db/orders >tidings.sql`,
	}
	cmd.Flags().BoolVar(&print, "print", false, "print the SQL of all migrations, and change nothing")
	addStoreFlag(cmd.PersistentFlags(), &url)
	asGroup(a, cmd)
	help := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if print {
			return a.printMigrations(url)
		}
		return help(cmd, args)
	}
	cmd.AddCommand(newMigrateUp(a, &url), newMigrateStatus(a, &url))
	return cmd
}

// printMigrations needs no server: the scheme of the URL decides.
func (a *app) printMigrations(url string) error {
	if err := requireStore(url); err != nil {
		return err
	}
	text, err := connect.MigrationSQL(url)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, strings.TrimRight(text, "\n"))
	return err
}

func newMigrateUp(a *app, url *string) *cobra.Command {
	var print bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Apply the migrations that are missing",
		Long: `Up applies the migrations that are missing, each in a transaction where the
database has transactions for such changes, and prints what it applied.`,
		Example: `  tidings migrate up --store-url sqlite:orders.db`,
		Args:    exactArgs(),
	}
	cmd.Flags().BoolVar(&print, "print", false, "print the SQL of all migrations, and change nothing")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if print {
			return a.printMigrations(*url)
		}
		options := connect.Options{Logger: a.log, Create: true}
		return a.withAnyStore(cmd.Context(), *url, options, func(ctx context.Context, db *connect.Database) error {
			applied, err := db.Admin.Migrate(ctx)
			for _, m := range applied {
				fmt.Fprintf(a.stdout, "applied %d %s\n", m.Version, m.Name)
			}
			if err != nil {
				return err
			}
			if len(applied) == 0 {
				fmt.Fprintln(a.stdout, "The tables are up to date.")
			}
			return nil
		})
	}
	return cmd
}

func newMigrateStatus(a *app, url *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "List all migrations, and which are pending",
		Long: `Status lists all migrations with when each was applied. Exit code 0: none is
pending; 3: some are.`,
		Example: `  tidings migrate status --store-url sqlite:orders.db
  tidings migrate status --output json || tidings migrate up`,
		Args: exactArgs(),
	}
	output := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.withAnyStore(cmd.Context(), *url, connect.Options{Logger: a.log}, func(ctx context.Context, db *connect.Database) error {
			all, err := db.Admin.Migrations(ctx)
			if err != nil {
				return err
			}
			if err := a.reportMigrations(all, output.value == "json"); err != nil {
				return err
			}
			if n := pending(all); n > 0 {
				return negativef("%s pending; run tidings migrate up", count(n, "migration is", "migrations are"))
			}
			return nil
		})
	}
	return cmd
}

func (a *app) reportMigrations(all []admin.Migration, asJSON bool) error {
	if asJSON {
		list := make([]migrationJSON, len(all))
		for i, m := range all {
			list[i] = migrationJSON{Version: m.Version, Name: m.Name}
			if at := m.AppliedAt.UTC(); !m.AppliedAt.IsZero() {
				list[i].AppliedAt = &at
			}
		}
		return writeJSON(a.stdout, map[string]any{"migrations": list, "pending": pending(all)})
	}
	table := [][]string{{"VERSION", "APPLIED", "NAME"}}
	for _, m := range all {
		applied := "pending"
		if !m.AppliedAt.IsZero() {
			applied = timestamp(m.AppliedAt)
		}
		table = append(table, []string{strconv.FormatInt(m.Version, 10), applied, m.Name})
	}
	return writeTable(a.stdout, table...)
}

func pending(all []admin.Migration) int64 {
	var n int64
	for _, m := range all {
		if m.AppliedAt.IsZero() {
			n++
		}
	}
	return n
}
