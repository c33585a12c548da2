package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tidings.example/admin"
	"tidings.example/internal/connect"
)

// parkedJSON is a parked message as commands print it for programs.
type parkedJSON struct {
	ID         int64     `json:"id"`
	Subscriber string    `json:"subscriber"`
	Reason     string    `json:"reason"`
	Attempts   int       `json:"attempts"`
	ParkedAt   time.Time `json:"parkedAt"`
	// Behind is how many messages of the key come before this one.
	Behind     int         `json:"behind"`
	RetryAsked bool        `json:"retryAsked"`
	Message    messageJSON `json:"message"`
}

func newParkedJSON(p *admin.ParkedMessage) parkedJSON {
	return parkedJSON{ID: p.ID, Subscriber: p.Subscriber, Reason: p.Reason, Attempts: p.Attempts,
		ParkedAt: p.ParkedAt.UTC(), Behind: p.Behind, RetryAsked: p.RetryAsked, Message: newMessageJSON(&p.Message)}
}

func newParkedCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "parked",
		Short:   "Look at messages that an inbox set aside; retry, edit or discard them",
		GroupID: groupOperate,
		Long: `An inbox parks a message that its handler cannot handle, and holds the message's
key: what comes later under the key waits behind it, in order; other keys go on.
These commands work on the database of the service that received the message.`,
		Example: `  tidings parked list --heads --store-url sqlite:customers.db
  tidings parked show 17
  tidings parked retry 17 --reason 'bug fixed in 1.4.2'
  tidings parked show 17 --payload >p.json && vi p.json
  tidings parked edit 17 --payload-file p.json --retry --reason 'amount had a comma'
  tidings parked discard 17 --reason 'customer was deleted'`,
	}
	asGroup(a, cmd)
	cmd.AddCommand(newParkedList(a), newParkedShow(a), newParkedRetry(a), newParkedEdit(a), newParkedDiscard(a))
	return cmd
}

func newParkedList(a *app) *cobra.Command {
	var url string
	var filter admin.ParkedFilter
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List parked messages, oldest first",
		Long: `List shows parked messages, oldest first, without payloads. BEHIND is the number of
messages of the same key that come before: 0 is one that failed, the others wait.`,
		Example: `  tidings parked list --store-url sqlite:customers.db
  tidings parked list --heads                      # only those that failed
  tidings parked list --subscriber customers --channel orders --key 42
  tidings parked list --output json --after 1200`,
		Args: exactArgs(),
	}
	output := addOutputFlag(cmd)
	addStoreFlag(cmd.Flags(), &url)
	flags := cmd.Flags()
	flags.StringVar(&filter.Subscriber, "subscriber", "", "only messages of this subscriber")
	flags.StringVar(&filter.Channel, "channel", "", "only messages of this channel")
	flags.StringVar(&filter.Key, "key", "", "only messages with this key")
	flags.BoolVar(&filter.Heads, "heads", false, "only the oldest message of each key: those that failed")
	flags.Int64Var(&filter.After, "after", 0, "only messages with ids above this one")
	flags.IntVar(&filter.Limit, "limit", 100, "show at most so many messages")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if filter.Limit < 1 {
			return usagef("--limit: %d is less than 1", filter.Limit)
		}
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			messages, err := db.Admin.ListParked(ctx, filter)
			if err != nil {
				return err
			}
			if output.value == "json" {
				all := make([]parkedJSON, len(messages))
				for i := range messages {
					all[i] = newParkedJSON(&messages[i])
				}
				return writeJSON(a.stdout, map[string]any{"parked": all})
			}
			return a.printParked(messages, filter.Limit)
		})
	}
	return cmd
}

func (a *app) printParked(messages []admin.ParkedMessage, limit int) error {
	if len(messages) == 0 {
		fmt.Fprintln(a.stdout, "Nothing is parked.")
		return nil
	}
	table := [][]string{{"ID", "SINCE", "SUBSCRIBER", "CHANNEL", "KEY", "TYPE", "BEHIND", "TRIED", "REASON"}}
	for i := range messages {
		p := &messages[i]
		reason := p.Reason
		if p.RetryAsked {
			reason = "(retry asked) " + reason
		}
		table = append(table, []string{strconv.FormatInt(p.ID, 10), timestamp(p.ParkedAt), shorten(p.Subscriber, 30),
			shorten(p.Message.Channel, 30), shorten(p.Message.Key, 40), shorten(p.Message.Type, 40),
			strconv.Itoa(p.Behind), strconv.Itoa(p.Attempts), shorten(reason, 120)})
	}
	if err := writeTable(a.stdout, table...); err != nil {
		return err
	}
	if len(messages) == limit {
		fmt.Fprintf(a.stderr, "There may be more; continue with --after %d.\n", messages[len(messages)-1].ID)
	}
	return nil
}

func newParkedShow(a *app) *cobra.Command {
	var url string
	var payload bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one parked message, whole",
		Long: `Show prints one parked message with its headers and payload. With --payload it prints the
payload alone, byte for byte, to be edited.`,
		Example: `  tidings parked show 17 --store-url sqlite:customers.db
  tidings parked show 17 --payload >payload.json`,
		Args: exactArgs("ID"),
	}
	output := addOutputFlag(cmd)
	addStoreFlag(cmd.Flags(), &url)
	cmd.Flags().BoolVar(&payload, "payload", false, "print the payload alone, as it is")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := parseID("ID", args[0])
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
			p, err := db.Admin.GetParked(ctx, id)
			switch {
			case err != nil:
				return parkedError(id, err)
			case payload:
				_, err = a.stdout.Write(p.Message.Payload)
				return err
			case output.value == "json":
				v := newParkedJSON(&p)
				v.Message = v.Message.withPayload(p.Message.Payload)
				return writeJSON(a.stdout, v)
			}
			return a.printParkedMessage(&p)
		})
	}
	return cmd
}

func (a *app) printParkedMessage(p *admin.ParkedMessage) error {
	rows := [][]string{{"parked", strconv.FormatInt(p.ID, 10)}, {"since", timestamp(p.ParkedAt)},
		{"subscriber", p.Subscriber}, {"reason", p.Reason}, {"tried", count(int64(p.Attempts), "time", "times")},
		{"behind", count(int64(p.Behind), "message", "messages")}}
	if p.RetryAsked {
		rows = append(rows, []string{"retry", "asked for, not done yet"})
	}
	if err := writeTable(a.stdout, append(rows, messageRows(&p.Message)...)...); err != nil {
		return err
	}
	if text := messageJSON.withPayload(messageJSON{}, p.Message.Payload).Payload; text != nil {
		fmt.Fprintf(a.stdout, "\n%s\n", printableText(*text))
		return nil
	}
	fmt.Fprintf(a.stdout, "\nThe payload is not text; see --payload and --output json.\n")
	return nil
}

// parkedError says what to do about an id that is not there.
func parkedError(id int64, err error) error {
	if errors.Is(err, admin.ErrNotFound) {
		return negativef("no message with id %d is parked; see tidings parked list", id)
	}
	return err
}
