package main

import (
	"os/user"

	"github.com/spf13/cobra"

	"tidings.example/admin"
)

// action is who changes something, and why.
type action struct{ reason, actor string }

// addActionFlags adds --reason and --actor to a command that changes something.
func addActionFlags(cmd *cobra.Command) *action {
	act := &action{}
	cmd.Flags().StringVar(&act.reason, "reason", "", "why, kept in the audit table (required)")
	cmd.Flags().StringVar(&act.actor, "actor", "", "who, kept in the audit table; your login name if not given")
	fromEnvironment(cmd.Flags(), "actor", "TIDINGS_ACTOR")
	return act
}

// get returns the complete action. The login name comes from $USER, which sudo
// and su set, else from the system.
func (act *action) get(getenv func(string) string) (admin.Action, error) {
	actor := act.actor
	if actor == "" {
		actor = getenv("USER")
	}
	if actor == "" {
		if u, err := user.Current(); err == nil {
			actor = u.Username
		}
	}
	if act.reason == "" {
		return admin.Action{}, usagef("--reason is missing: say why, it is kept in the audit table")
	}
	if actor == "" {
		return admin.Action{}, usagef("--actor is missing, and $USER is not set: say who acts, it is kept in the audit table")
	}
	result := admin.Action{Actor: actor, Reason: act.reason}
	if err := result.Validate(); err != nil {
		return admin.Action{}, usagef("%w", err)
	}
	return result, nil
}
