package sqlstore

import (
	"log/slog"
	"time"
)

// failuresInterval is how often failures that go on are logged.
const failuresInterval = time.Minute

// Failures logs what becomes of work that is done again and again and that nobody
// waits for: the first failure, one in a minute while they go on, and their end. It is
// for one goroutine.
type Failures struct {
	// Logger may be nil: then nothing is logged.
	Logger *slog.Logger
	// Failed and Works are the messages, Args their attributes.
	Failed, Works string
	Args          []any

	failing bool
	logged  time.Time
}

// Note takes the outcome of one run.
func (f *Failures) Note(err error) { f.note(err, time.Now()) }

func (f *Failures) note(err error, now time.Time) {
	if f.Logger == nil {
		return
	}
	switch {
	case err == nil && f.failing:
		f.failing = false
		f.Logger.Info(f.Works, f.Args...)
	case err != nil && (!f.failing || now.Sub(f.logged) >= failuresInterval):
		f.failing, f.logged = true, now
		f.Logger.Warn(f.Failed, append(append([]any(nil), f.Args...), "error", err)...)
	}
}

// RemovalFailures logs what becomes of removing published rows from the table of an outbox.
func RemovalFailures(logger *slog.Logger, source string) *Failures {
	return &Failures{Logger: logger, Failed: "published rows stay in the outbox's table; trying again", Works: "published rows are removed again",
		Args: []any{"source", source}}
}
