package wal

import "log/slog"

// Options are settings that are seldom needed.
type Options struct {
	// Logger gets what goes wrong beside the reading, such as published rows that
	// cannot be removed. Default: nothing is logged.
	Logger *slog.Logger
}
