package inbox

import (
	"errors"
	"fmt"
	"sync"
)

type role int

const (
	notRunning role = iota
	running
	draining
	stopped
)

// status is what Ready and Stats answer from, beside the work.
type status struct {
	mu    sync.Mutex
	role  role
	s     Stats
	ended error
	load  func() (inFlight, waiting int)
}

func (s *status) start(load func() (inFlight, waiting int)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.role == running || s.role == draining {
		return false
	}
	s.role, s.ended, s.s.Err, s.load = running, nil, nil, load
	return true
}

func (s *status) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.role = draining
}

func (s *status) stop(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.role, s.ended, s.load = stopped, err, nil
}

func (s *status) update(change func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.s)
}

// works records whether the database answers.
func (s *status) works(err error) { s.update(func(st *Stats) { st.Err = err }) }

func (s *status) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.role == notRunning:
		return errors.New("not started")
	case s.role == draining:
		return errors.New("draining")
	case s.role == stopped && s.ended != nil:
		return fmt.Errorf("stopped: %w", s.ended)
	case s.role == stopped:
		return errors.New("stopped")
	case s.s.Err != nil:
		return fmt.Errorf("database fails: %w", s.s.Err)
	}
	return nil
}

func (s *status) stats() Stats {
	s.mu.Lock()
	st, load := s.s, s.load
	s.mu.Unlock()
	if load != nil {
		st.InFlight, st.Waiting = load()
	}
	return st
}

// done counts a message that is finished with.
func (s *status) done(d Done) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch d.Outcome {
	case Handled:
		s.s.Handled++
	case Retried:
		s.s.Handled++
		s.s.Retried++
	case GivenUp:
		s.s.GivenUp++
	case Duplicated:
		s.s.Duplicates++
	case ParkedSetBack:
		s.s.SetBack++
		s.s.Parked++
	case ParkedFailed, ParkedBehind:
		s.s.Parked++
	}
	if d.Missing > 0 {
		s.s.Gaps++
		s.s.Missing += d.Missing
	}
	if d.Late {
		s.s.Late++
	}
}
