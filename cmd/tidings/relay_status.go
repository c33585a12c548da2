package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tidings.example/admin"
	"tidings.example/internal/connect"
	"tidings.example/relay"
)

// relayStatusJSON is what `relay status --output json` prints.
type relayStatusJSON struct {
	Source string `json:"source"`
	// Role is "leading" while a relay holds the lease, else "none".
	Role                string  `json:"role"`
	Holder              string  `json:"holder"`
	LeaseExpiresSeconds float64 `json:"leaseExpiresSeconds"`
	Fence               int64   `json:"fence"`
	Epoch               string  `json:"epoch"`
	// Reading is "table" or "log", Asked what was asked for and has not happened.
	Reading string `json:"reading"`
	Asked   string `json:"asked,omitempty"`
	// Rows are committed and not published, OldestSeconds is the age of the
	// oldest, which is how far the relay is behind in time.
	Rows          int64   `json:"rows"`
	OldestSeconds float64 `json:"oldestSeconds"`
	SetAside      int64   `json:"setAside"`
	HeldKeys      int     `json:"heldKeys"`
	// Log is there for databases that have a log.
	Log *logStatusJSON `json:"log,omitempty"`
}

type logStatusJSON struct {
	// Name is that of the slot on PostgreSQL.
	Name     string `json:"name,omitempty"`
	Active   bool   `json:"active"`
	Position string `json:"position,omitempty"`
	SavedAt  string `json:"savedAt,omitempty"`
	// BehindBytes and RetainedBytes are -1 where they cannot be told; a
	// LimitBytes of 0 is no limit.
	BehindBytes   int64  `json:"behindBytes"`
	RetainedBytes int64  `json:"retainedBytes"`
	LimitBytes    int64  `json:"limitBytes"`
	Lost          string `json:"lost,omitempty"`
	// PublishedRows are still in the table, to be removed together.
	PublishedRows int64  `json:"publishedRows"`
	TablelessAt   string `json:"tablelessAt,omitempty"`
}

// relayState is all that a status is made of.
type relayState struct {
	backlog admin.Backlog
	held    int
	log     *admin.LogStatus
}

func newRelayStatus(a *app) *cobra.Command {
	var url string
	var watch bool
	var every time.Duration
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show who leads, where rows are read from, and how far that is behind",
		Long: `Status shows which relay leads, whether it reads the table or the log, how far it is
behind in bytes and in time, how much log the database keeps for it and when it stops,
and what was set aside. It asks the database only, so it works from anywhere.

Exit code 3: nobody leads, or the saved position in the log is lost.`,
		Example: `  tidings relay status --store-url postgres://app:secret@db/orders
  tidings relay status --watch
  tidings relay status --output json | jq .log.retainedBytes`,
		Args: exactArgs(),
	}
	output := addOutputFlag(cmd)
	addStoreFlag(cmd.Flags(), &url)
	cmd.Flags().BoolVar(&watch, "watch", false, "print it again and again, until Ctrl-C")
	cmd.Flags().DurationVar(&every, "every", 2*time.Second, "how often, with --watch")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if every <= 0 {
			return usagef("--every must be positive")
		}
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			for {
				s, err := readRelayState(ctx, db)
				if err != nil {
					return stoppedIf(watch, ctx, err)
				}
				if err := a.printRelayState(s, output.value == "json"); err != nil || !watch {
					if err != nil {
						return err
					}
					return s.verdict()
				}
				if waitOr(ctx, every) != nil {
					return nil
				}
				if output.value != "json" {
					fmt.Fprintf(a.stdout, "\n%s\n", timestamp(time.Now()))
				}
			}
		})
	}
	return cmd
}

func stoppedIf(watch bool, ctx context.Context, err error) error {
	if watch {
		return stopped(ctx, err)
	}
	return err
}

// waitOr waits for d, or returns why it did not.
func waitOr(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// mostHeld bounds how many set-aside rows are looked through for their keys.
const mostHeld = 10_000

func readRelayState(ctx context.Context, db *connect.Database) (s relayState, err error) {
	if s.backlog, err = db.Admin.Backlog(ctx); err != nil {
		return s, err
	}
	if s.backlog.SetAside > 0 {
		rows, err := db.Admin.ListSetAside(ctx, mostHeld)
		if err != nil {
			return s, err
		}
		keys := map[relay.HeldKey]bool{}
		for _, r := range rows {
			if r.Message.Key != "" { // behind a row without a key nothing waits
				keys[relay.HeldKey{Channel: r.Message.Channel, Key: r.Message.Key}] = true
			}
		}
		s.held = len(keys)
	}
	if db.Log == nil {
		return s, nil
	}
	log, err := db.Log.LogStatus(ctx)
	s.log = &log
	return s, err
}

func (s relayState) reading() string {
	if s.log == nil || s.log.Reading == "" {
		return string(relay.FromTable)
	}
	return s.log.Reading
}

// asked is what was asked for and has not happened.
func (s relayState) asked() string {
	if s.log == nil || s.log.Asked == s.reading() {
		return ""
	}
	return s.log.Asked
}

// verdict is an error where somebody has to do something.
func (s relayState) verdict() error {
	switch {
	case s.log != nil && s.log.Lost != "":
		return negativef("the position in the log is lost: %s; a relay that starts takes what is not published from the table", s.log.Lost)
	case s.backlog.Holder == "":
		return negativef("nobody leads: start a relay with tidings relay")
	}
	return nil
}

func (s relayState) json() relayStatusJSON {
	b := s.backlog
	j := relayStatusJSON{Source: b.Source, Role: "none", Holder: b.Holder, LeaseExpiresSeconds: b.Expires.Seconds(), Fence: b.Fence,
		Epoch: b.Epoch, Reading: s.reading(), Asked: s.asked(), Rows: b.Rows, OldestSeconds: b.Oldest.Seconds(),
		SetAside: b.SetAside, HeldKeys: s.held}
	if b.Holder != "" {
		j.Role = string(relay.Leading)
	}
	if l := s.log; l != nil {
		j.Log = &logStatusJSON{Name: l.Name, Active: l.Active, Position: l.Position, SavedAt: timestamp(l.SavedAt), BehindBytes: l.Behind,
			RetainedBytes: l.Retained, LimitBytes: l.Limit, Lost: l.Lost, PublishedRows: l.Published, TablelessAt: timestamp(l.Tableless)}
	}
	return j
}

func (a *app) printRelayState(s relayState, asJSON bool) error {
	if asJSON {
		return writeJSON(a.stdout, s.json())
	}
	rows := backlogTable(s.backlog)
	if s.held > 0 {
		rows = append(rows, []string{"held keys", count(int64(s.held), "key", "keys")})
	}
	reading := "the " + s.reading()
	if asked := s.asked(); asked != "" {
		reading += "; asked for: the " + asked
	}
	rows = append(rows, []string{"read from", reading})
	if s.log != nil {
		rows = append(rows, s.logRows()...)
	}
	return writeTable(a.stdout, rows...)
}

func (s relayState) logRows() [][]string {
	l := s.log
	reader := "not in use"
	switch {
	case l.Active:
		reader = "in use"
	case l.Name == "" && l.Position == "":
		reader = "none"
	}
	if l.Name != "" {
		reader = l.Name + ", " + reader
	}
	position := "none saved"
	if l.Position != "" {
		position = fmt.Sprintf("%s, saved %s ago", l.Position, span(max(time.Since(l.SavedAt), 0)))
	}
	rows := [][]string{{"log reader", reader}}
	if l.Position != "" || s.reading() == string(relay.FromLog) {
		rows = append(rows, []string{"position", position})
	}
	if l.Behind >= 0 {
		rows = append(rows, []string{"behind", size(l.Behind) + " of log"})
	}
	if l.Retained >= 0 {
		limit := "no limit is set"
		if l.Limit > 0 {
			limit = "limit " + size(l.Limit)
		}
		rows = append(rows, []string{"kept for it", size(l.Retained) + ", " + limit})
	}
	if l.Published > 0 {
		rows = append(rows, []string{"published", count(l.Published, "row", "rows") + " in the table, to be removed together"})
	}
	if !l.Tableless.IsZero() {
		rows = append(rows, []string{"tableless", "a message was last appended past the table at " + timestamp(l.Tableless)})
	}
	if l.Lost != "" {
		rows = append(rows, []string{"LOST", l.Lost})
	}
	return rows
}

// size is a number of bytes for people; less than 0 is unknown.
func size(n int64) string {
	switch {
	case n < 0:
		return "unknown"
	case n < 10<<10:
		return count(n, "byte", "bytes")
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	case n < 10<<30:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d GiB", n>>30)
}
