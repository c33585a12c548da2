package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tidings.example/admin"
	"tidings.example/internal/connect"
)

// Exit codes, which scripts rely on. docs/cli.md lists them.
const (
	exitDone        = 0   // done; of a long-running command: stopped cleanly
	exitFailed      = 1   // tried, and failed: server unreachable, port occupied ...
	exitUsage       = 2   // nothing was tried: unknown flag, bad value, bad URL
	exitNegative    = 3   // the answer is no: problems found, migrations pending, no such message
	exitInterrupted = 130 // a signal came before the command was done
)

// exitError is an error with the code to exit with.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usagef is an error of the one who typed the command.
func usagef(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// negativef says that the command did its work, and that the answer is no.
func negativef(format string, args ...any) error {
	return &exitError{code: exitNegative, err: fmt.Errorf(format, args...)}
}

// exitCode chooses the code for a command's result.
func exitCode(ctx context.Context, err error) int {
	var coded *exitError
	var badURL *connect.URLError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &badURL):
		return exitUsage
	case errors.Is(err, admin.ErrNotFound):
		return exitNegative
	case strings.HasPrefix(err.Error(), "unknown command "): // from cobra's own commands, help and completion
		return exitUsage
	case ctx.Err() != nil:
		return exitInterrupted
	}
	return exitFailed
}

// oneLine is an error's text as one line: joined errors have several.
func oneLine(err error) string {
	var parts []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			parts = append(parts, line)
		}
	}
	return printable(strings.Join(parts, "; "))
}
