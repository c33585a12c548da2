package main

import (
	"context"
	"fmt"
	"sync"

	"tidings.example/relay"
)

// logReadiness makes readiness tell what is wrong with the log that a relay
// reads, before it becomes an outage.
type logReadiness struct {
	source string
	stats  func() relay.Stats

	mu sync.Mutex
	// lost is the loss that was seen last, and saved how many positions had been
	// saved then: the next one ends it.
	lost  string
	saved uint64
}

// Name is what the service calls it.
func (l *logReadiness) Name() string { return "log of " + l.source }

// Run does nothing: Ready answers from what the relay knows.
func (l *logReadiness) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Ready returns an error while the position in the log is lost and the relay
// takes what is not published from the table, and while the database has kept
// four fifths of the log that it is allowed to keep.
func (l *logReadiness) Ready() error {
	s := l.stats()
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.Lost != l.lost {
		l.lost, l.saved = s.Lost, s.Checkpoints
	}
	switch {
	case s.Reading != relay.FromLog:
		return nil
	case l.lost != "" && s.Checkpoints <= l.saved:
		return fmt.Errorf("the position in the log is lost, and what is not published is taken from the table: %s", l.lost)
	case s.Lag.Limit > 0 && s.Lag.Retained >= s.Lag.Limit/5*4:
		return fmt.Errorf("the database keeps %s of log for this relay and stops at %s: then the position is lost", size(s.Lag.Retained), size(s.Lag.Limit))
	}
	return nil
}
