package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tidings.example/internal/suggest"
)

// asGroup makes cmd show its help when called alone, and suggest the right name
// when called with an unknown one.
func asGroup(a *app, cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// newHelpCommand replaces cobra's, which takes an unknown command for a success.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Explain a command",
		GroupID: groupOperate,
		Long:    "Help explains a command, as the flag --help of the command does.",
		Example: "  tidings help parked edit",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(found, rest[0])
			}
			return found.Help()
		},
	}
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return usagef("unknown command %q for %s%s (see %s --help)",
		name, cmd.CommandPath(), didYouMean("", suggest.Nearest(name, names)), cmd.CommandPath())
}

func didYouMean(prefix, name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %s%s?", prefix, name)
}

// exactArgs wants one argument for each name.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef("%s is missing (%s)", names[len(args)], cmd.UseLine())
		case len(args) > len(names):
			return usagef("unexpected argument %q (see %s --help)", args[len(names)], cmd.CommandPath())
		}
		return nil
	}
}

// flagError turns what the flag parser says into one line that names the flag
// and says what to do.
func (a *app) flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	var unknown *pflag.NotExistError
	var value *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &unknown):
		// The flags of a mistyped command are unknown too; its name is what is wrong.
		if name := a.mistypedCommand(cmd); name != "" {
			return unknownCommand(cmd, name)
		}
		return unknownFlag(cmd, unknown.GetSpecifiedName())
	case errors.As(err, &value):
		return usagef("--%s: %s", value.GetFlag().Name, explainValue(value))
	case errors.As(err, &missing):
		return usagef("--%s needs a value (see %s --help)", missing.GetSpecifiedName(), cmd.CommandPath())
	}
	return usagef("%w (see %s --help)", err, cmd.CommandPath())
}

func unknownFlag(cmd *cobra.Command, name string) error {
	var names []string
	visit := func(f *pflag.Flag) { names = append(names, f.Name) }
	cmd.Flags().VisitAll(visit)
	cmd.InheritedFlags().VisitAll(visit)
	dashes := "--"
	if len(name) == 1 {
		dashes = "-"
	}
	return usagef("unknown flag %s%s%s (see %s --help)",
		dashes, name, didYouMean("--", suggest.Nearest(name, names)), cmd.CommandPath())
}

// mistypedCommand returns the first word after the name of a group of commands,
// if it names none of them.
func (a *app) mistypedCommand(cmd *cobra.Command) string {
	if !cmd.HasAvailableSubCommands() {
		return ""
	}
	var words []string
	for i, word := range a.args {
		// What follows a flag may be its value.
		if !strings.HasPrefix(word, "-") && (i == 0 || !strings.HasPrefix(a.args[i-1], "-")) {
			words = append(words, word)
		}
	}
	depth := len(strings.Fields(cmd.CommandPath())) - 1
	if len(words) <= depth {
		return ""
	}
	for _, sub := range cmd.Commands() {
		if sub.Name() == words[depth] || sub.HasAlias(words[depth]) {
			return ""
		}
	}
	return words[depth]
}

// explainValue says what a flag takes.
func explainValue(e *pflag.InvalidValueError) string {
	kinds := map[string]string{
		"int": "a whole number", "int64": "a whole number", "uint": "a whole number",
		"duration": "a duration such as 500ms, 10s or 2m", "bool": "true or false", "float64": "a number",
	}
	if kind, ok := kinds[e.GetFlag().Value.Type()]; ok {
		return fmt.Sprintf("%q is not %s", e.GetValue(), kind)
	}
	return e.Unwrap().Error()
}
