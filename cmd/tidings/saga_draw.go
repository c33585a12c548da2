package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"tidings.example/internal/connect"
	"tidings.example/saga/machine"
)

func newSagaDraw(a *app) *cobra.Command {
	var url, fingerprint string
	format := newChoice("text", "text", "mermaid", "json")
	cmd := &cobra.Command{
		Use:   "draw [TYPE]",
		Short: "Draw a saga's definition as text or as a Mermaid diagram",
		Long: `Draw prints the definition that a service has stored when it started: the steps, whom
they ask for what, how each is undone, timeouts and the pivot. Without TYPE it lists the
definitions that there are; --fingerprint chooses an older one, by its beginning.`,
		Example: `  tidings saga draw --store-url sqlite:orders.db
  tidings saga draw create-order
  tidings saga draw create-order --format mermaid >create-order.mmd
  tidings saga draw create-order --fingerprint 5f0c`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return exactArgs("TYPE")(cmd, args)
		},
	}
	addStoreFlag(cmd.Flags(), &url)
	cmd.Flags().Var(format, "format", "how the definition is printed")
	cmd.Flags().StringVar(&fingerprint, "fingerprint", "", "the definition whose fingerprint begins so; the newest if not given")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && fingerprint != "" {
			return usagef("TYPE is missing: --fingerprint chooses one of its definitions (%s)", cmd.UseLine())
		}
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			if len(args) == 0 {
				return a.listPlans(ctx, db)
			}
			return a.drawPlan(ctx, db, args[0], fingerprint, format.value)
		})
	}
	return cmd
}

func (a *app) listPlans(ctx context.Context, db *connect.Database) error {
	plans, err := db.Admin.SagaPlans(ctx, "")
	if err != nil {
		return err
	}
	if len(plans) == 0 {
		fmt.Fprintln(a.stdout, "No definition is stored here: a service stores its own when it starts.")
		return nil
	}
	table := [][]string{{"TYPE", "FINGERPRINT", "FIRST SEEN"}}
	for _, p := range plans {
		table = append(table, []string{p.Type, p.Fingerprint, timestamp(p.SeenAt)})
	}
	return writeTable(a.stdout, table...)
}

func (a *app) drawPlan(ctx context.Context, db *connect.Database, sagaType, fingerprint, format string) error {
	plans, err := db.Admin.SagaPlans(ctx, sagaType)
	if err != nil {
		return err
	}
	if len(plans) == 0 {
		types, err := sagaTypes(ctx, db)
		if err != nil {
			return err
		}
		return unknownType(sagaType, types)
	}
	stored := newestPlan(plans, fingerprint)
	if stored == nil {
		return negativef("no definition of %s has a fingerprint that begins with %q; see tidings saga draw", sagaType, fingerprint)
	}
	var plan machine.Plan
	if err := json.Unmarshal(stored.Plan, &plan); err != nil {
		return fmt.Errorf("the stored definition of %s, %s, cannot be read by this version: %w", sagaType, stored.Fingerprint, err)
	}
	var text strings.Builder
	switch format {
	case "json":
		return writeJSON(a.stdout, json.RawMessage(stored.Plan))
	case "mermaid":
		err = machine.Mermaid(&text, &plan)
	default:
		err = machine.Text(&text, &plan)
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(a.stdout, printableText(text.String()))
	return err
}
