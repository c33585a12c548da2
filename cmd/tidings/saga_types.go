package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidings.example/admin"
	"tidings.example/internal/connect"
	"tidings.example/saga/machine"
)

// sagaTypeJSON is one type of `saga types --output json`.
type sagaTypeJSON struct {
	Type string `json:"type"`
	// Counts are by state; each state is there.
	Counts map[string]int64 `json:"counts"`
	// OldestSeconds is for how long nothing has happened to the unfinished
	// saga that was changed longest ago.
	OldestSeconds float64 `json:"oldestSeconds"`
	// Definitions counts the definitions that were run here; SeenAt and Fingerprint are of the newest.
	Definitions int       `json:"definitions"`
	Fingerprint string    `json:"fingerprint,omitempty"`
	SeenAt      time.Time `json:"seenAt,omitzero"`
}

func newSagaTypes(a *app) *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "types",
		Short: "Count sagas by type and state",
		Long: `Types shows the types of sagas that services have defined or started here, how many
sagas there are in each state, for how long nothing has happened to the unfinished one
that was changed longest ago, and how many definitions of the type have been run.`,
		Example: `  tidings saga types --store-url sqlite:orders.db
  tidings saga types -o json | jq '.types[] | select(.counts.stuck > 0)'`,
		Args: exactArgs(),
	}
	output := addOutputFlag(cmd)
	addStoreFlag(cmd.Flags(), &url)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			types, err := readSagaTypes(ctx, db)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return writeJSON(a.stdout, map[string]any{"types": types})
			}
			return a.printSagaTypes(types)
		})
	}
	return cmd
}

func readSagaTypes(ctx context.Context, db *connect.Database) ([]sagaTypeJSON, error) {
	names, err := sagaTypes(ctx, db)
	if err != nil {
		return nil, err
	}
	plans, err := db.Admin.SagaPlans(ctx, "")
	if err != nil {
		return nil, err
	}
	counts, err := db.Admin.CountSagas(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]sagaTypeJSON, len(names))
	for i, name := range names {
		t := sagaTypeJSON{Type: name, Counts: map[string]int64{}}
		for _, s := range sagaStates {
			t.Counts[string(s)] = 0
		}
		for _, c := range counts {
			if c.Type != name {
				continue
			}
			t.Counts[c.State] += c.Count
			if !machine.State(c.State).Ended() {
				t.OldestSeconds = max(t.OldestSeconds, c.Oldest.Seconds())
			}
		}
		for _, p := range plans {
			if p.Type != name {
				continue
			}
			if t.Definitions == 0 {
				t.Fingerprint, t.SeenAt = p.Fingerprint, p.SeenAt.UTC()
			}
			t.Definitions++
		}
		all[i] = t
	}
	return all, nil
}

func (a *app) printSagaTypes(types []sagaTypeJSON) error {
	if len(types) == 0 {
		fmt.Fprintln(a.stdout, "This database knows no sagas.")
		return nil
	}
	table := [][]string{{"TYPE", "RUNNING", "COMPENSATING", "STUCK", "COMPLETED", "COMPENSATED", "FAILED", "DEFINITIONS", "LONGEST UNCHANGED"}}
	for _, t := range types {
		row := []string{t.Type}
		for _, s := range sagaStates {
			row = append(row, strconv.FormatInt(t.Counts[string(s)], 10))
		}
		oldest := "-"
		if t.Counts[string(machine.Running)]+t.Counts[string(machine.Compensating)]+t.Counts[string(machine.Stuck)] > 0 {
			oldest = span(time.Duration(t.OldestSeconds * float64(time.Second)))
		}
		table = append(table, append(row, strconv.Itoa(t.Definitions), oldest))
	}
	return writeTable(a.stdout, table...)
}

// newestPlan returns the definition whose fingerprint begins with prefix, which
// may be empty, or nil.
func newestPlan(plans []admin.SagaPlan, prefix string) *admin.SagaPlan {
	i := slices.IndexFunc(plans, func(p admin.SagaPlan) bool { return strings.HasPrefix(p.Fingerprint, prefix) })
	if i < 0 {
		return nil
	}
	return &plans[i]
}
