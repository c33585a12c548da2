package main

import (
	"log/slog"
)

// newLogger logs to stderr; stdout belongs to the answer.
func (a *app) newLogger() *slog.Logger {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	options := &slog.HandlerOptions{Level: levels[a.logLevel.value]}
	if a.logFormat.value == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, options))
	}
	return slog.New(slog.NewTextHandler(a.stderr, options))
}
