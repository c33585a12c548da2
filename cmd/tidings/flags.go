package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tidings.example/internal/suggest"
)

// environmentKey annotates a flag with the environment variable that gives its
// value where the command line does not.
const environmentKey = "tidings_environment"

// fromEnvironment lets a variable give the value of a flag, and says so in the
// flag's help text.
func fromEnvironment(flags *pflag.FlagSet, flag, variable string) {
	f := flags.Lookup(flag)
	f.Usage += " (env " + variable + ")"
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[environmentKey] = []string{variable}
}

// applyEnvironment sets those flags of cmd that only the environment gives.
func (a *app) applyEnvironment(cmd *cobra.Command) error {
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		names := f.Annotations[environmentKey]
		if failed != nil || f.Changed || len(names) == 0 {
			return
		}
		value := a.getenv(names[0])
		if value == "" {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			// The value is not shown: it may be a secret.
			failed = usagef("environment variable %s is no value for --%s (see %s --help)", names[0], f.Name, cmd.CommandPath())
		}
	})
	return failed
}

// choice is a flag that takes one of a few words.
type choice struct {
	value   string
	allowed []string
}

func newChoice(value string, allowed ...string) *choice {
	return &choice{value: value, allowed: allowed}
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return strings.Join(c.allowed, "|") }
func (c *choice) list() string   { return strings.Join(c.allowed, ", ") }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		return fmt.Errorf("%q is not one of %s%s", s, c.list(), didYouMean("", suggest.Nearest(s, c.allowed)))
	}
	c.value = s
	return nil
}

// addOutputFlag adds --output to a command that a script may read.
func addOutputFlag(cmd *cobra.Command) *choice {
	c := newChoice("table", "table", "json")
	cmd.Flags().VarP(c, "output", "o", "how the answer on stdout is written")
	return c
}

// addStoreFlag adds --store-url.
func addStoreFlag(flags *pflag.FlagSet, url *string) {
	flags.StringVar(url, "store-url", "", "database, such as sqlite:orders.db, postgres://user@host/db, mysql://user@host/db")
	fromEnvironment(flags, "store-url", "TIDINGS_STORE_URL")
}

// addBrokerFlag adds --broker-url.
func addBrokerFlag(flags *pflag.FlagSet, url *string) {
	flags.StringVar(url, "broker-url", "", "broker, such as nats://host:4222, kafka://host:9092")
	fromEnvironment(flags, "broker-url", "TIDINGS_BROKER_URL")
}

func requireStore(url string) error {
	if url == "" {
		return usagef("--store-url is missing: name the database, such as sqlite:orders.db, or set TIDINGS_STORE_URL")
	}
	return nil
}

func requireBroker(url string) error {
	if url == "" {
		return usagef("--broker-url is missing: name the broker, such as nats://127.0.0.1:4222, or set TIDINGS_BROKER_URL")
	}
	return nil
}
