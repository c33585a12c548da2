package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"tidings.example/admin"
	"tidings.example/internal/connect"
)

// backlogJSON is what `outbox --output json` prints.
type backlogJSON struct {
	Rows          int64   `json:"rows"`
	OldestSeconds float64 `json:"oldestSeconds"`
	SetAside      int64   `json:"setAside"`
	Source        string  `json:"source"`
	// Holder is empty while no relay leads.
	Holder              string  `json:"holder"`
	LeaseExpiresSeconds float64 `json:"leaseExpiresSeconds"`
	Fence               int64   `json:"fence"`
	Epoch               string  `json:"epoch"`
}

func newOutboxCommand(a *app) *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:     "outbox",
		Short:   "Show what is not published yet, and rows that cannot be",
		GroupID: groupOperate,
		Long: `Outbox shows how many rows of an outbox are not published yet, how old the oldest
is, which relay holds the lease, and how many rows were set aside.

A row that can never be published as it is (a NULL, a name that is not allowed, a
message larger than the broker takes) is set aside with the reason, and so is
what comes after it under the same key. Other keys go on. List shows these rows;
retry tries those of a key again, discard gives one up.`,
		Example: `  tidings outbox --store-url sqlite:orders.db
  tidings outbox --output json | jq .oldestSeconds
  tidings outbox list
  tidings outbox retry --channel orders --key 42 --reason 'limit of the broker raised'
  tidings outbox discard 1207 --reason 'test data'`,
	}
	output := addOutputFlag(cmd)
	addStoreFlag(cmd.Flags(), &url)
	asGroup(a, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			b, err := db.Admin.Backlog(ctx)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return writeJSON(a.stdout, backlogJSON{Rows: b.Rows, OldestSeconds: b.Oldest.Seconds(), SetAside: b.SetAside,
					Source: b.Source, Holder: b.Holder, LeaseExpiresSeconds: b.Expires.Seconds(), Fence: b.Fence, Epoch: b.Epoch})
			}
			return a.printBacklog(b)
		})
	}
	cmd.AddCommand(newOutboxList(a), newOutboxRetry(a), newOutboxDiscard(a))
	return cmd
}

func (a *app) printBacklog(b admin.Backlog) error {
	return writeTable(a.stdout, backlogTable(b)...)
}

func backlogTable(b admin.Backlog) [][]string {
	backlog := "nothing waits"
	if b.Rows > 0 {
		backlog = fmt.Sprintf("%s, the oldest %s old", count(b.Rows, "row", "rows"), span(b.Oldest))
	}
	aside := "nothing"
	if b.SetAside > 0 {
		aside = count(b.SetAside, "row", "rows") + "; see tidings outbox list"
	}
	leader := "nobody leads; start one with tidings relay"
	if b.Holder != "" {
		leader = fmt.Sprintf("%s leads (fence %d, lease for another %s)", b.Holder, b.Fence, span(b.Expires))
	}
	source := b.Source
	if source == "" {
		source = "not known before the first relay"
	}
	epoch := b.Epoch
	if epoch == "" {
		epoch = "none yet"
	}
	return [][]string{{"backlog", backlog}, {"set aside", aside}, {"source", source}, {"relay", leader}, {"epoch", epoch}}
}
