package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/internal/connect"
)

// change runs a command that changes one parked message.
func (a *app) change(cmd *cobra.Command, url, arg string, act *action, do func(context.Context, *connect.Database, int64, admin.Action) error) error {
	id, err := parseID("ID", arg)
	if err != nil {
		return err
	}
	action, err := act.get(a.getenv)
	if err != nil {
		return err
	}
	return a.withStore(cmd.Context(), url, func(ctx context.Context, db *connect.Database) error {
		if err := do(ctx, db, id, action); err != nil {
			return parkedError(id, err)
		}
		return nil
	})
}

func newParkedRetry(a *app) *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "retry ID --reason WHY",
		Short: "Ask the inbox to handle a key's parked messages again",
		Long: `Retry asks the inbox of the service to handle the parked messages of the message's
key again, in order, beginning with the key's oldest. It does so within about a
second, if the service runs. A message that fails again stays parked, with the new
reason.`,
		Example: `  tidings parked retry 17 --store-url sqlite:customers.db --reason 'bug fixed in 1.4.2'`,
		Args:    exactArgs("ID"),
	}
	addStoreFlag(cmd.Flags(), &url)
	act := addActionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.change(cmd, url, args[0], act, func(ctx context.Context, db *connect.Database, id int64, action admin.Action) error {
			if err := db.Admin.RetryParked(ctx, id, action); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "Asked for a retry of message %d and its key.\n", id)
			return nil
		})
	}
	return cmd
}

func newParkedDiscard(a *app) *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "discard ID --reason WHY",
		Short: "Give one parked message up for good",
		Long: `Discard removes one parked message: it is never handled. The audit table keeps it
whole, with the reason. What waits behind it under the same key is retried, in
order.`,
		Example: `  tidings parked discard 17 --store-url sqlite:customers.db --reason 'customer was deleted'`,
		Args:    exactArgs("ID"),
	}
	addStoreFlag(cmd.Flags(), &url)
	act := addActionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.change(cmd, url, args[0], act, func(ctx context.Context, db *connect.Database, id int64, action admin.Action) error {
			if err := db.Admin.DiscardParked(ctx, id, action); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "Discarded message %d; the audit table keeps it.\n", id)
			return nil
		})
	}
	return cmd
}

func newParkedEdit(a *app) *cobra.Command {
	var url, payload, file string
	var retry, force bool
	cmd := &cobra.Command{
		Use:   "edit ID --payload-file FILE --reason WHY",
		Short: "Replace the payload of a parked message",
		Long: `Edit replaces the payload of one parked message; the audit table keeps the old
one. With --retry it then asks the inbox to handle the message's key again.

A payload that is not JSON is refused where the message's content type says JSON,
unless --force is given.`,
		Example: `  tidings parked show 17 --payload >p.json && vi p.json
  tidings parked edit 17 --payload-file p.json --retry --reason 'amount had a comma'
  jq .amount=12 p.json | tidings parked edit 17 --payload-file - --reason 'amount had a comma'
  tidings parked edit 17 --payload '{"amount":12}' --reason 'amount had a comma'`,
		Args: exactArgs("ID"),
	}
	addStoreFlag(cmd.Flags(), &url)
	flags := cmd.Flags()
	flags.StringVar(&payload, "payload", "", "the new payload, as text")
	flags.StringVar(&file, "payload-file", "", "file with the new payload; - is stdin")
	flags.BoolVar(&retry, "retry", false, "then ask the inbox to handle the key again")
	flags.BoolVar(&force, "force", false, "store what is not JSON as a JSON message's payload")
	act := addActionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if flags.Changed("payload") == flags.Changed("payload-file") {
			return usagef("give the new payload with either --payload or --payload-file")
		}
		body := []byte(payload)
		if file != "" {
			var err error
			if body, err = a.readPayload(file); err != nil {
				return err
			}
		}
		return a.change(cmd, url, args[0], act, func(ctx context.Context, db *connect.Database, id int64, action admin.Action) error {
			p, err := db.Admin.GetParked(ctx, id)
			if err != nil {
				return err
			}
			if isJSON(p.Message.ContentType) && !json.Valid(body) && !force {
				return usagef("the new payload is not JSON, but the message's content type is %s; correct it, or use --force", p.Message.ContentType)
			}
			if err := db.Admin.EditParked(ctx, id, body, action); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "Replaced the payload of message %d (%d bytes, now %d).\n", id, len(p.Message.Payload), len(body))
			if !retry {
				return nil
			}
			if err := db.Admin.RetryParked(ctx, id, action); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "Asked for a retry of message %d and its key.\n", id)
			return nil
		})
	}
	return cmd
}

// readPayload reads no more than a message may carry.
func (a *app) readPayload(file string) ([]byte, error) {
	in, name := a.stdin, "stdin"
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			var reason *os.PathError
			if errors.As(err, &reason) {
				err = reason.Err
			}
			return nil, usagef("--payload-file: cannot open %q: %w", file, err)
		}
		defer f.Close()
		in, name = f, file
	}
	body, err := io.ReadAll(io.LimitReader(in, tidings.MaxPayload+1))
	if err != nil {
		return nil, fmt.Errorf("read the payload from %s: %w", name, err)
	}
	if len(body) > tidings.MaxPayload {
		return nil, usagef("--payload-file: %s has more than the %d bytes that a message may carry", name, tidings.MaxPayload)
	}
	return body, nil
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}
