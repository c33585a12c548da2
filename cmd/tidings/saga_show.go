package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidings.example/admin"
	"tidings.example/internal/connect"
	"tidings.example/saga/machine"
)

// sagaInstance is what commands read of [admin.Saga.Instance].
type sagaInstance struct {
	machine.Instance
	Parent *struct{ Type, ID, Step string } `json:"parent"`
	// Locking are the participants that have locked something for the saga.
	Locking []struct{ Name string } `json:"locking"`
}

// shownSaga is one saga with everything that is known of it.
type shownSaga struct {
	saga     admin.Saga
	instance sagaInstance
	// plan is the definition that it runs under; nil where it is not known.
	plan    *machine.Plan
	journal []admin.SagaEntry
	// left counts the journal entries before those.
	left int
}

// shownJSON is what `saga show --output json` prints.
type shownJSON struct {
	sagaJSON
	DeadlineAt time.Time       `json:"deadlineAt,omitzero"`
	Data       json.RawMessage `json:"data"`
	Instance   json.RawMessage `json:"instance"`
	Journal    []sagaEntryJSON `json:"journal"`
	Earlier    int             `json:"earlierEntries"`
}

func newSagaShow(a *app) *cobra.Command {
	var url string
	var entries int
	cmd := &cobra.Command{
		Use:   "show TYPE ID",
		Short: "Show one saga: its steps, its data and what happened to it",
		Long: `Show prints one saga: what it does or waits for, where each step stands, its data, and
its journal, with times counted from its start. In the journal > marks what goes forward
and < what undoes a step.`,
		Example: `  tidings saga show create-order 42 --store-url sqlite:orders.db
  tidings saga show create-order 42 --entries 0
  tidings saga show create-order 42 -o json | jq .data`,
		Args: exactArgs("TYPE", "ID"),
	}
	output := addOutputFlag(cmd)
	addStoreFlag(cmd.Flags(), &url)
	cmd.Flags().IntVar(&entries, "entries", 200, "show the last so many entries of the journal; 0 is all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if entries < 0 {
			return usagef("--entries: %d is negative; 0 is all", entries)
		}
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			s, err := readSaga(ctx, db, args[0], args[1], entries)
			if err != nil {
				return sagaError(args[0], args[1], err)
			}
			if output.value == "json" {
				return writeJSON(a.stdout, s.json(time.Now()))
			}
			return a.printSaga(s)
		})
	}
	return cmd
}

func readSaga(ctx context.Context, db *connect.Database, sagaType, id string, entries int) (*shownSaga, error) {
	var s shownSaga
	var err error
	if s.saga, err = db.Admin.GetSaga(ctx, sagaType, id); err != nil {
		return nil, err
	}
	// What cannot be decoded is not shown as steps; it is in the JSON as it is.
	_ = json.Unmarshal(s.saga.Instance, &s.instance)
	plans, err := db.Admin.SagaPlans(ctx, sagaType)
	if err != nil {
		return nil, err
	}
	if stored := newestPlan(plans, s.saga.Fingerprint); stored != nil {
		var plan machine.Plan
		if json.Unmarshal(stored.Plan, &plan) == nil {
			s.plan = &plan
		}
	}
	for page := []admin.SagaEntry(nil); ; {
		after := 0
		if len(s.journal) > 0 {
			after = s.journal[len(s.journal)-1].Number
		}
		if page, err = db.Admin.SagaJournal(ctx, sagaType, id, after, 1000); err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return &s, nil
		}
		s.journal = append(s.journal, page...)
		if extra := len(s.journal) - entries; entries > 0 && extra > 0 {
			s.journal, s.left = slices.Delete(s.journal, 0, extra), s.left+extra
		}
	}
}

func (s *shownSaga) json(now time.Time) shownJSON {
	return shownJSON{sagaJSON: newSagaJSON(&s.saga, now), DeadlineAt: utc(s.instance.Deadline), Data: rawJSON(s.saga.Data),
		Instance: rawJSON(s.saga.Instance), Journal: entriesJSON(s.journal), Earlier: s.left}
}

// rawJSON is b, or b as a string where it is no JSON.
func rawJSON(b []byte) json.RawMessage {
	switch {
	case len(b) == 0:
		return json.RawMessage("null")
	case json.Valid(b):
		return b
	}
	quoted, _ := json.Marshal(string(b)) // strings can be encoded
	return quoted
}

func (a *app) printSaga(s *shownSaga) error {
	if err := writeTable(a.stdout, s.header(time.Now())...); err != nil {
		return err
	}
	if steps := s.steps(time.Now()); len(steps) > 1 {
		fmt.Fprintln(a.stdout)
		if err := writeTable(a.stdout, steps...); err != nil {
			return err
		}
	}
	var data bytes.Buffer
	if json.Indent(&data, s.saga.Data, "", "  ") != nil {
		data.Reset()
		data.Write(s.saga.Data)
	}
	fmt.Fprintf(a.stdout, "\nData\n%s\n\nJournal\n", printableText(data.String()))
	if s.left > 0 {
		fmt.Fprintf(a.stdout, "(%s before; see --entries)\n", count(int64(s.left), "entry", "entries"))
	}
	return writeTable(a.stdout, timeline(s.journal, s.saga.Started)...)
}

func (s *shownSaga) header(now time.Time) [][]string {
	rows := [][]string{{"saga", sagaName(&s.saga)}, {"state", s.saga.State}}
	add := func(name, value string) { rows = append(rows, []string{name, value}) }
	if s.saga.Step != "" {
		add("step", s.saga.Step)
	}
	if s.saga.Error != "" {
		add("error", s.saga.Error)
	}
	add("started", moments(s.saga.Started, now))
	if s.saga.Ended.IsZero() {
		add("changed", moments(s.saga.Changed, now))
	} else {
		add("ended", fmt.Sprintf("%s, after %s", moments(s.saga.Ended, now), span(max(s.saga.Ended.Sub(s.saga.Started), 0))))
	}
	if !s.saga.Wake.IsZero() {
		add("wakes", moments(s.saga.Wake, now))
	}
	if !s.instance.Deadline.IsZero() && s.saga.Ended.IsZero() {
		add("deadline", moments(s.instance.Deadline, now))
	}
	if s.instance.Forward {
		add("pivot", "done: it only goes forward")
	}
	if p := s.instance.Parent; p != nil {
		add("started by", fmt.Sprintf("saga %s %s, step %s", p.Type, p.ID, p.Step))
	}
	if len(s.instance.Locking) > 0 {
		var names []string
		for _, l := range s.instance.Locking {
			names = append(names, l.Name)
		}
		add("locks at", strings.Join(names, ", "))
	}
	if s.saga.Requested {
		add("request", "asked for, not carried out yet")
	}
	add("definition", s.saga.Fingerprint)
	return rows
}

// moments is a time, and how far from now it is.
func moments(t, now time.Time) string {
	if d := t.Sub(now); d > 0 {
		return fmt.Sprintf("%s, in %s", timestamp(t), span(d))
	}
	return fmt.Sprintf("%s, %s ago", timestamp(t), span(now.Sub(t)))
}
