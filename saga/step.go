package saga

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"tidings.example/command"
	"tidings.example/saga/machine"
)

// A Step is one step of a saga over data of type D.
type Step[D any] struct {
	plan    machine.Step
	members []*Step[D]
	errs    []error

	when    func(d *D) bool
	until   func(d *D, now time.Time) time.Time
	do      local[D]
	undo    local[D]
	ask     request[D]
	askBack request[D]
	replies map[string]func(d *D, c command.Participant, contentType string, payload []byte) error
	child   *childOf[D]
	event   *eventOf[D]
}

// local is a function on the database of the orchestrator.
type local[D any] struct {
	call func(ctx context.Context, tx any, d *D) error
	// tx is the type of transaction that it works in.
	tx reflect.Type
}

// request makes a command for a participant.
type request[D any] struct {
	participant command.Participant
	command     func(d *D) command.Command
}

// An Option adds to a step of a saga over data of type D.
type Option[D any] func(s *Step[D])

func newStep[D any](kind machine.Kind, name string, options []Option[D]) *Step[D] {
	s := &Step[D]{plan: machine.Step{Name: name, Kind: kind}}
	for _, option := range options {
		if option == nil {
			s.fail("an option is nil")
			continue
		}
		option(s)
	}
	return s
}

func (s *Step[D]) fail(format string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf(format, args...))
}

// Within bounds how long one attempt waits for its reply, its event or its child's end. Then it
// is tried again where [Step.Retry] allows it; otherwise the step has failed, and is undone as well,
// because what was asked for may still be done. By default there is no bound.
func (s *Step[D]) Within(limit time.Duration) *Step[D] {
	s.plan.Timeout = limit
	return s
}

// Retry makes up to attempts attempts of a step that times out, that is refused
// by a reply marked as retryable, or, for a local step, that fails with an error that may pass. The
// wait before the next attempt doubles from initial to most, less a random part of up to a half.
// A participant remembers its answer to a command that may be sent again, so
// its handler is not called twice for one that it has answered.
func (s *Step[D]) Retry(attempts int, initial, most time.Duration) *Step[D] {
	s.plan.Retry = machine.Retry{Attempts: attempts, Initial: initial, Max: most}
	return s
}

// AsPivot makes the step the point of no return: once it is done, the saga only goes
// forward, and what fails is tried again until it succeeds, or the saga is stuck.
func (s *Step[D]) AsPivot() *Step[D] {
	s.plan.Pivot = true
	return s
}

// When makes a step conditional: it is skipped where the condition does not
// hold when its turn comes. The condition must depend on the data only.
func When[D any](holds func(d *D) bool, s *Step[D]) *Step[D] {
	if s == nil {
		return nil
	}
	if holds == nil {
		s.fail("its condition is nil")
	}
	s.when, s.plan.Conditional = holds, true
	return s
}

// Parallel does its members at the same time and is done when all are. When one fails,
// the saga waits for the others and then compensates those that were done, at the same time.
func Parallel[D any](name string, members ...*Step[D]) *Step[D] {
	s := newStep[D](machine.Group, name, nil)
	s.members, s.plan.Join = members, machine.All
	return s
}

// FirstOf does its members at the same time and is done when the first has
// succeeded; what the others have done, or may do yet, is undone. It is refused when all are.
func FirstOf[D any](name string, members ...*Step[D]) *Step[D] {
	s := newStep[D](machine.Group, name, nil)
	s.members, s.plan.Join = members, machine.First
	return s
}

// WaitUntil waits for a time, which is decided when the step begins at now. A time that
// is not after now ends it at once.
func WaitUntil[D any](name string, until func(d *D, now time.Time) time.Time) *Step[D] {
	s := newStep[D](machine.Wait, name, nil)
	if until == nil {
		s.fail("its function is nil")
	}
	s.until = until
	return s
}
