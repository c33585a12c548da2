package timer

import (
	"fmt"
	"sync"
	"time"
)

// Stats are what a runner has done for one source since it was made.
type Stats struct {
	// Source is the source's name.
	Source string
	// Fired counts what was done.
	Fired uint64
	// Failures counts the looks that ended with an error.
	Failures uint64
	// Next is when the next thing was due when the runner last looked; zero if
	// there was none.
	Next time.Time
	// Late is how long it had been due then; 0 if it was not.
	Late time.Duration
	// Error is the last failure, nil while all is well.
	Error error
}

// status is what Ready and Stats answer from, beside the loop.
type status struct {
	mu    sync.Mutex
	stats Stats
}

func (s *status) looked(now, due time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Next, s.stats.Late = time.Time{}, 0
	if ok {
		s.stats.Next, s.stats.Late = due, max(0, now.Sub(due))
	}
}

func (s *status) fired(done int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Fired += uint64(max(0, done))
}

func (s *status) failure(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Failures++
	s.stats.Error = err
}

// passed notes that all is well, and reports whether it was not before.
func (s *status) passed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	failed := s.stats.Error != nil
	s.stats.Error = nil
	return failed
}

func (s *status) snapshot() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

func (s *status) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stats.Error != nil {
		return fmt.Errorf("%s: %w", s.stats.Source, s.stats.Error)
	}
	return nil
}
