package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"tidings.example/admin"
	"tidings.example/internal/connect"
	"tidings.example/relay"
)

// examinedJSON is what `doctor --output json` prints.
type examinedJSON struct {
	Findings []findingJSON `json:"findings"`
	Fails    int           `json:"fails"`
	Warnings int           `json:"warnings"`
}

type findingJSON struct {
	// Target is "database" or "broker", URL its address without secrets.
	Target string `json:"target"`
	URL    string `json:"url"`
	Name   string `json:"name"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Advice string `json:"advice,omitempty"`
}

func newDoctorCommand(a *app) *cobra.Command {
	var storeURL, brokerURL string
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Examine a database and a broker, and say what to do",
		GroupID: groupOperate,
		Long: `Doctor connects to a database, a broker or both, looks at version, settings,
privileges, tables and clock, at what reading the outbox from the database's log needs
and how much of it is kept, at sagas that are stuck, old locks and late timers, and says
of each whether it is good and, if not, what to do. It changes nothing.

Exit code 0: nothing is wrong, though there may be warnings; 3: something is.`,
		Example: `  tidings doctor --store-url sqlite:orders.db
  tidings doctor --store-url postgres://app:secret@db/orders --broker-url kafka://broker:9092
  tidings doctor --output json | jq '.findings[] | select(.status=="fail")'`,
		Args: exactArgs(),
	}
	output := addOutputFlag(cmd)
	addStoreFlag(cmd.Flags(), &storeURL)
	addBrokerFlag(cmd.Flags(), &brokerURL)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if storeURL == "" && brokerURL == "" {
			return usagef("--store-url and --broker-url are missing: name the database, the broker or both, or set TIDINGS_STORE_URL and TIDINGS_BROKER_URL")
		}
		var all []findingJSON
		if storeURL != "" {
			findings, err := a.examineStore(cmd.Context(), storeURL)
			if err != nil {
				return err
			}
			all = append(all, label("database", storeURL, findings)...)
		}
		if brokerURL != "" {
			findings, err := a.examineBroker(cmd.Context(), brokerURL)
			if err != nil {
				return err
			}
			all = append(all, label("broker", brokerURL, findings)...)
		}
		return a.reportFindings(all, output.value == "json")
	}
	return cmd
}

func (a *app) examineStore(ctx context.Context, url string) ([]admin.Finding, error) {
	db, err := openStore(ctx, url, connect.Options{Logger: a.log})
	if err != nil {
		return unreachable(ctx, err)
	}
	defer func() { _ = db.Close() }() // nothing was written
	findings := db.Admin.Doctor(ctx)
	if !slices.ContainsFunc(findings, func(f admin.Finding) bool { return f.Status == admin.Fail }) {
		// What is wrong already would only be said twice.
		findings = append(findings, examineLog(ctx, db)...)
		findings = append(findings, examineSagas(ctx, db.Admin)...)
	}
	return findings, nil
}

// examineLog examines what reading the log needs. What is missing is no problem
// of who does not read it.
func examineLog(ctx context.Context, db *connect.Database) []admin.Finding {
	if db.DoctorLog == nil {
		return nil
	}
	findings := db.DoctorLog(ctx)
	s, err := db.Log.LogStatus(ctx)
	if err != nil || s.Reading == string(relay.FromLog) || s.Asked == string(relay.FromLog) {
		return findings
	}
	for i := range findings {
		if findings[i].Status == admin.Fail {
			findings[i].Status = admin.Warn
		}
	}
	return findings
}

func (a *app) examineBroker(ctx context.Context, url string) ([]admin.Finding, error) {
	b, err := a.openBroker(ctx, url)
	if err != nil {
		return unreachable(ctx, err)
	}
	defer func() { _ = b.Close() }() // nothing was written
	return b.Doctor.Doctor(ctx), nil
}

// unreachable is the finding about a server that could not be opened. A URL
// that is wrong, and an interruption, are errors of the command.
func unreachable(ctx context.Context, err error) ([]admin.Finding, error) {
	var bad *connect.URLError
	if errors.As(err, &bad) || ctx.Err() != nil {
		return nil, err
	}
	return []admin.Finding{{Name: "connection", Status: admin.Fail, Detail: oneLine(err),
		Advice: "check that it runs, and host, port, user and password in the URL"}}, nil
}

func label(target, url string, findings []admin.Finding) []findingJSON {
	labelled := make([]findingJSON, len(findings))
	for i, f := range findings {
		labelled[i] = findingJSON{Target: target, URL: connect.Redact(url), Name: f.Name,
			Status: string(f.Status), Detail: f.Detail, Advice: f.Advice}
	}
	return labelled
}

func (a *app) reportFindings(all []findingJSON, asJSON bool) error {
	report := examinedJSON{Findings: all}
	for _, f := range all {
		switch admin.Status(f.Status) {
		case admin.Fail:
			report.Fails++
		case admin.Warn:
			report.Warnings++
		}
	}
	if asJSON {
		if err := writeJSON(a.stdout, report); err != nil {
			return err
		}
	} else if err := a.printFindings(all); err != nil {
		return err
	}
	if report.Fails > 0 {
		return negativef("doctor found %s", count(int64(report.Fails), "problem", "problems"))
	}
	return nil
}

// printFindings prints the findings of each server under its address, and what
// to do below each that is not good.
func (a *app) printFindings(all []findingJSON) error {
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Target == all[0].Target {
			n++
		}
		width := 0
		for _, f := range all[:n] {
			width = max(width, len(f.Name))
		}
		fmt.Fprintf(a.stdout, "%s %s\n", all[0].Target, printable(all[0].URL))
		for _, f := range all[:n] {
			fmt.Fprintf(a.stdout, "  %-4s  %-*s  %s\n", f.Status, width, printable(f.Name), printable(f.Detail))
			if f.Advice != "" {
				fmt.Fprintf(a.stdout, "        %-*s  -> %s\n", width, "", printable(f.Advice))
			}
		}
		all = all[n:]
	}
	return nil
}
