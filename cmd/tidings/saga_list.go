package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tidings.example/admin"
	"tidings.example/internal/connect"
)

// sagaJSON is a saga as commands print it for programs.
type sagaJSON struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	State string `json:"state"`
	Step  string `json:"step"`
	Error string `json:"error"`
	// UnchangedSeconds is for how long nothing has happened to it.
	UnchangedSeconds float64   `json:"unchangedSeconds"`
	StartedAt        time.Time `json:"startedAt"`
	ChangedAt        time.Time `json:"changedAt"`
	EndedAt          time.Time `json:"endedAt,omitzero"`
	WakeAt           time.Time `json:"wakeAt,omitzero"`
	Version          int64     `json:"version"`
	Fingerprint      string    `json:"fingerprint"`
	RequestWaits     bool      `json:"requestWaits"`
}

func newSagaJSON(s *admin.Saga, now time.Time) sagaJSON {
	return sagaJSON{Type: s.Type, ID: s.ID, State: s.State, Step: s.Step, Error: s.Error,
		UnchangedSeconds: unchanged(s, now).Seconds(), StartedAt: s.Started.UTC(), ChangedAt: s.Changed.UTC(),
		EndedAt: utc(s.Ended), WakeAt: utc(s.Wake), Version: s.Version, Fingerprint: s.Fingerprint, RequestWaits: s.Requested}
}

func sagasJSON(sagas []admin.Saga, now time.Time) []sagaJSON {
	all := make([]sagaJSON, len(sagas))
	for i := range sagas {
		all[i] = newSagaJSON(&sagas[i], now)
	}
	return all
}

// utc keeps the zero time as it is.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

func unchanged(s *admin.Saga, now time.Time) time.Duration { return max(now.Sub(s.Changed), 0) }

func newSagaList(a *app) *cobra.Command {
	var url string
	var f sagaFilter
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List sagas, those first that have not changed for longest",
		Long: `List shows the unfinished sagas, or those in the states asked for, first those to which
nothing has happened for longest. STEP is what a saga does or waits for, UNCHANGED for
how long, and ERROR the last error.`,
		Example: `  tidings saga list --store-url sqlite:orders.db
  tidings saga list --state stuck --type create-order
  tidings saga list --step reserve-credit --age 10m
  tidings saga list --state compensated,failed --limit 20
  tidings saga list --state stuck --output json | jq -r '.sagas[].id'`,
		Args: exactArgs(),
	}
	output := addOutputFlag(cmd)
	addStoreFlag(cmd.Flags(), &url)
	f.addTo(cmd.Flags(), "unfinished", "only sagas that are at this step", "show at most so many sagas")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		filter, err := f.get(statesOf("unfinished")...)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			if err := checkType(ctx, db, filter.Type); err != nil {
				return err
			}
			sagas, err := db.Admin.ListSagas(ctx, filter)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return writeJSON(a.stdout, map[string]any{"sagas": sagasJSON(sagas, time.Now())})
			}
			if len(sagas) == 0 {
				fmt.Fprintln(a.stdout, "No saga matches.")
				return nil
			}
			if err := a.printSagas(sagas); err != nil {
				return err
			}
			if len(sagas) == filter.Limit {
				fmt.Fprintf(a.stderr, "There may be more than these %d; see --limit and tidings saga types.\n", filter.Limit)
			}
			return nil
		})
	}
	return cmd
}

func (a *app) printSagas(sagas []admin.Saga) error {
	now := time.Now()
	table := [][]string{{"TYPE", "ID", "STATE", "STEP", "UNCHANGED", "ERROR"}}
	for i := range sagas {
		s := &sagas[i]
		problem := s.Error
		if s.Requested {
			problem = "(request waits) " + problem
		}
		// Ids are not shortened: they are typed again.
		table = append(table, []string{s.Type, s.ID, s.State, shorten(s.Step, 60), span(unchanged(s, now)), shorten(problem, 120)})
	}
	if err := writeTable(a.stdout, table...); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, stateSummary(sagas))
	return nil
}
