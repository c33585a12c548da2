package relay

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Role is what a relay does at the moment.
type Role string

// The values of Role.
const (
	Starting Role = "starting"
	Standby  Role = "standby"
	Leading  Role = "leading"
	Failing  Role = "failing"
	Stopped  Role = "stopped"
)

// Stats are a relay's counts since it was made.
type Stats struct {
	Role  Role
	Epoch string
	Fence int64
	// Published counts messages that the broker has acknowledged, Repeated
	// those of them that belong to plans of an earlier relay or of a failed
	// attempt: the broker may have them twice. What an earlier relay read from
	// the log and published after its last checkpoint is not known, and not
	// among them.
	Published, Repeated uint64
	// SetAside counts rows that could not be published, with those behind them.
	SetAside uint64
	// Held is the number of keys with set-aside rows now.
	Held int
	// InFlight is the number of rows on their way now.
	InFlight int
	// Epochs counts the epochs that this relay has opened.
	Epochs uint64
	// Reading is where the leader reads rows from; empty before it first leads.
	Reading Reading
	// Behind is the age of the oldest message that was read and that the broker
	// has not acknowledged; 0 if there is none.
	Behind time.Duration
	// Checkpoints counts the positions in the log that were saved.
	Checkpoints uint64
	// Lag is how far the saved position in the log was behind when the
	// database was last asked, every few seconds; zero while FromTable.
	Lag Lag
	// Lost says, if the log could not be read from the last checkpoint, why and
	// from where to where messages may be repeated or missing. It is that of the
	// last time, and empty if that never happened to this relay.
	Lost string
	// Error is the last failure, nil while all is well.
	Error error
}

// An Observer is told what a relay does. Its methods are called by one
// goroutine and must not block.
type Observer interface {
	// Batch reports one plan whose rows the broker has acknowledged and, if they
	// were read from the table, the source has removed.
	Batch(b Batch)
	// SetAside reports one row that could not be published.
	SetAside(s SetAside)
}

// A Batch is a completed plan, or a completed piece of the log.
type Batch struct {
	Source string
	Rows   int
	Bytes  int
	// Oldest is when the oldest of its messages was made.
	Oldest time.Time
	// Repeated is set where an earlier relay may have published the plan, or
	// an attempt failed: the broker may have some of it twice.
	Repeated bool
}

type noObserver struct{}

func (noObserver) Batch(Batch)       {}
func (noObserver) SetAside(SetAside) {}

// status is what Ready and Stats answer from, beside the loop.
type status struct {
	mu    sync.Mutex
	s     Stats
	why   error
	since time.Time
	// waiting is since when the broker has acknowledged nothing though
	// something is on its way; zero if nothing is.
	waiting time.Time
	// oldest is when the oldest message on its way was made; zero if none is.
	oldest time.Time
}

// ackPatience is how long the broker may acknowledge nothing before the relay
// counts as not ready.
const ackPatience = 5 * time.Second

func (s *status) update(change func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.s)
}

func (s *status) become(role Role, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.s.Role != role || (s.why == nil) != (why == nil) {
		s.since = time.Now()
	}
	s.s.Role, s.s.Error, s.why = role, why, why
	if role != Leading {
		s.waiting, s.oldest, s.s.InFlight = time.Time{}, time.Time{}, 0
	}
}

func (s *status) starting()        { s.become(Starting, errors.New("relay has not taken the lease yet")) }
func (s *status) failed(err error) { s.become(Failing, err) }
func (s *status) stopped()         { s.become(Stopped, errors.New("relay has stopped")) }

func (s *status) standby() { s.become(Standby, nil) }

func (s *status) leading(st State) {
	s.become(Leading, nil)
	s.update(func(stats *Stats) {
		stats.Epoch, stats.Fence, stats.Reading = st.Epoch, st.Fence, st.Reading
		if st.Reading != FromLog {
			stats.Reading, stats.Lag = FromTable, Lag{}
		}
	})
}

// trouble records a failure that the leader tries to overcome by itself, and
// nil when it has.
func (s *status) trouble(err error) { s.become(Leading, err) }

// sent records that something is handed to the broker, and how old it is.
func (s *status) sent(oldest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oldest = oldest
	if s.waiting.IsZero() {
		s.waiting = time.Now()
	}
}

// progress records that the broker acknowledges, though no plan as a whole yet.
func (s *status) progress() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.waiting.IsZero() {
		s.waiting = time.Now()
	}
}

// acknowledged records that the broker holds a plan, whether more are on their
// way, and how old those are.
func (s *status) acknowledged(more bool, oldest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oldest = oldest
	s.waiting = time.Time{}
	if more {
		s.waiting = time.Now()
	}
}

func (s *status) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == nil {
		if quiet := time.Since(s.waiting); !s.waiting.IsZero() && quiet > ackPatience {
			return fmt.Errorf("the broker has acknowledged nothing for %s", quiet.Round(time.Second))
		}
		return nil
	}
	return fmt.Errorf("%s for %s: %w", s.s.Role, time.Since(s.since).Round(time.Second), s.why)
}

func (s *status) stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.s
	if !s.oldest.IsZero() {
		stats.Behind = max(time.Since(s.oldest), 0)
	}
	return stats
}
