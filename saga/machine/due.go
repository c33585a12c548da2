package machine

import (
	"math"
	"slices"
	"time"
)

// Next returns the earliest time at which something is due, when [Woken] is to
// be given; zero for never.
func Next(p *Plan, i *Instance) time.Time {
	if i == nil || i.State == "" || i.State.Ended() || i.Halted != "" {
		return time.Time{}
	}
	next := i.Deadline
	for _, st := range i.Steps {
		switch st.Phase {
		case Deciding, Active, Backoff, Undoing, UndoBackoff:
			if !st.Due.IsZero() && (next.IsZero() || st.Due.Before(next)) {
				next = st.Due
			}
		}
	}
	return next
}

// passed reports whether a time that something is due at has come.
func (m *machine) passed(due time.Time) bool { return !due.IsZero() && !due.After(m.now) }

// expire ends what has timed out.
func (m *machine) expire() {
	for _, s := range m.all {
		st := m.i.Steps[s.Name]
		if !m.passed(st.Due) {
			continue
		}
		e := Entry{What: OccurredTimeout, Step: s.Name, Attempt: st.Attempt}
		switch {
		case st.Phase == Active && s.Kind == Wait:
			m.done(s, Entry{})
		case st.Phase == Active:
			m.record(e)
			m.failed(s, "timed out", false)
		case st.Phase == Undoing:
			e.Undo = true
			m.record(e)
			m.undoFailed(s, "timed out")
		}
	}
	if m.passed(m.i.Deadline) {
		m.i.Deadline = time.Time{}
		m.overdue()
	}
}

// overdue ends the time of the saga as a whole.
func (m *machine) overdue() {
	if !m.i.Back && !m.i.Forward && !m.pivoting() {
		m.record(Entry{What: OccurredTimeout})
		m.compensate("the saga timed out")
		return
	}
	m.record(Entry{What: OccurredOverdue})
}

// pivoting reports whether the pivot may take effect yet and cannot be undone:
// then it alone decides what becomes of the saga.
func (m *machine) pivoting() bool {
	for i := range m.p.Steps {
		s := &m.p.Steps[i]
		if s.Pivot && (m.pending(s) || slices.ContainsFunc(s.Members, func(s Step) bool { return m.pending(&s) })) {
			return true
		}
	}
	return false
}

func (m *machine) pending(s *Step) bool {
	st := m.i.Steps[s.Name]
	return s.final() && forwardGoing(st.Phase) && len(st.Open) > 0
}

// final reports whether a step may take effect after it is given up, and cannot be undone.
func (s *Step) final() bool {
	return s.Compensation == "" && (s.Kind == Command || s.Kind == Saga)
}

// retryDue makes one attempt whose time has come.
func (m *machine) retryDue() bool {
	for _, s := range m.all {
		st := m.i.Steps[s.Name]
		switch {
		case !m.passed(st.Due):
		case st.Phase == Backoff:
			m.attempt(s, time.Time{})
			return true
		case st.Phase == UndoBackoff:
			m.undo(s)
			return true
		}
	}
	return false
}

// What is used where the plan says nothing.
const (
	defaultAttempts     = 10
	defaultUndoAttempts = 20
	defaultInitial      = time.Second
	defaultMax          = time.Minute
)

// retry returns how often a step is tried.
func (m *machine) retry(s *Step) Retry {
	switch {
	case s.Kind == Event || s.Kind == Saga || s.Kind == Wait:
		return Retry{Attempts: 1}
	case m.i.Forward:
		return m.p.undoRetry()
	case s.Kind == Local && s.Retry == Retry{}:
		return Retry{Attempts: defaultAttempts}
	}
	return s.Retry
}

func (p *Plan) undoRetry() Retry {
	if p.Undo == (Retry{}) {
		return Retry{Attempts: defaultUndoAttempts}
	}
	return p.Undo
}

// wait returns how long to wait after so many attempts.
func (r Retry) wait(made int, jitter float64) time.Duration {
	d, limit := r.Initial, r.Max
	if d <= 0 {
		d = defaultInitial
	}
	if limit <= 0 {
		limit = max(d, defaultMax)
	}
	for ; made > 1 && d < limit && d < math.MaxInt64/2; made-- {
		d *= 2
	}
	d = min(d, limit)
	return d - time.Duration(jitter*float64(d/2))
}

func fraction(f float64) float64 {
	if math.IsNaN(f) {
		return 0
	}
	return min(max(f, 0), 1)
}

// Times outside these cannot be written as JSON.
var (
	earliest = time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC)
	latest   = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

// sane returns the time without what depends on this process.
func sane(t time.Time) time.Time {
	t = t.UTC().Round(0)
	switch {
	case t.Before(earliest):
		return earliest
	case t.After(latest):
		return latest
	}
	return t
}

// later returns when d has passed, as databases can keep it.
func (m *machine) later(d time.Duration) time.Time { return ceil(sane(m.now.Add(d))) }

// ceil rounds up to microseconds: no database wakes a saga before its time then.
func ceil(t time.Time) time.Time {
	if r := t.Truncate(time.Microsecond); !r.Equal(t) {
		return r.Add(time.Microsecond)
	}
	return t
}
