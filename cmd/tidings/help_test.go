package main

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// eachCommand visits all commands of ours.
func eachCommand(t *testing.T, visit func(cmd *cobra.Command)) {
	t.Helper()
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Hidden {
			return // not for people
		}
		visit(cmd)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(a.newRoot())
}

func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	eachCommand(t, func(cmd *cobra.Command) {
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s has no short text, long text or example", cmd.CommandPath())
		}
		if cmd.Args == nil {
			t.Errorf("%s does not check its arguments", cmd.CommandPath())
		}
		if parent := cmd.Parent(); parent != nil && parent.Parent() == nil && cmd.GroupID == "" {
			t.Errorf("%s is in no group of the help text", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Long) {
			if len(line) > 90 {
				t.Errorf("%s: a line of the help text has %d characters", cmd.CommandPath(), len(line))
			}
		}
	})
}

// TestExamplesAreCommands: each command in an example exists and has the flags.
func TestExamplesAreCommands(t *testing.T) {
	t.Parallel()
	eachCommand(t, func(cmd *cobra.Command) {
		root := cmd.Root()
		for line := range strings.Lines(strings.ReplaceAll(cmd.Example, "\\\n", " ")) {
			line, _, _ = strings.Cut(line, " #")
			for _, part := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune("|&;()<>", r) }) {
				words := strings.Fields(part)
				i := slices.Index(words, "tidings")
				if i < 0 {
					continue
				}
				found, rest, err := root.Find(words[i+1:])
				if err != nil {
					t.Errorf("%s: %q: %v", cmd.CommandPath(), part, err)
					continue
				}
				for _, word := range rest {
					name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
					if strings.HasPrefix(word, "--") && found.Flag(name) == nil {
						t.Errorf("%s: %q: %s has no flag --%s", cmd.CommandPath(), part, found.CommandPath(), name)
					}
				}
			}
		}
	})
}

// TestThePageListsEverything keeps docs/cli.md complete.
func TestThePageListsEverything(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	eachCommand(t, func(cmd *cobra.Command) {
		if !strings.Contains(page, "`"+cmd.CommandPath()) {
			t.Errorf("docs/cli.md does not mention %s", cmd.CommandPath())
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			for _, variable := range f.Annotations[environmentKey] {
				if !strings.Contains(page, variable) {
					t.Errorf("docs/cli.md does not mention %s", variable)
				}
			}
			if f.Name != "help" && !strings.Contains(page, "--"+f.Name) {
				t.Errorf("docs/cli.md does not mention --%s of %s", f.Name, cmd.CommandPath())
			}
		})
	})
}

func TestHelpIsAnAnswer(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"--help"}, {"help", "relay"}, {"relay", "-h"}, {"help", "parked", "edit"}, {"parked"}, {"migrate"}} {
		if out := mustRun(t, args...); !strings.Contains(out, "Usage:") || !strings.Contains(out, "Examples:") {
			t.Errorf("tidings %v prints no help:\n%s", args, out)
		}
	}
	if out := mustRun(t, "relay", "--help"); !strings.Contains(out, "TIDINGS_STORE_URL") {
		t.Errorf("the help of relay does not name TIDINGS_STORE_URL:\n%s", out)
	}
}
