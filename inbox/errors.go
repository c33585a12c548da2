package inbox

import (
	"context"
	"errors"
	"fmt"

	"tidings.example"
)

// Permanent marks an error of a handler as one that will come again whenever
// the message is tried: the message is parked at once. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &classified{err: err, permanent: true}
}

// IsPermanent reports whether err, or an error that it wraps, was marked by
// [Permanent].
func IsPermanent(err error) bool {
	c, ok := errors.AsType[*classified](err)
	return ok && c.permanent
}

// Transient marks an error of a handler as one that has nothing to do with the
// message, for example that another service is away: the message is tried again
// until it succeeds, and what follows in its lane waits. Errors that the store
// knows to be transient need no mark. Transient(nil) is nil.
func Transient(err error) error {
	if err == nil {
		return nil
	}
	return &classified{err: err}
}

// IsTransient reports whether err, or an error that it wraps, was marked by
// [Transient] or is [context.DeadlineExceeded].
func IsTransient(err error) bool {
	c, ok := errors.AsType[*classified](err)
	return ok && !c.permanent || errors.Is(err, context.DeadlineExceeded)
}

// classified is an error with the mark of the handler that returned it.
type classified struct {
	err       error
	permanent bool
}

func (c *classified) Error() string { return c.err.Error() }
func (c *classified) Unwrap() error { return c.err }

// A TooManyHolesError ends Run: so many messages of a lane are missing, in so
// many places, that the inbox does not go on as if nothing had happened.
type TooManyHolesError struct {
	Subscriber string
	Lane       tidings.Lane
	Limit      int
}

func (e *TooManyHolesError) Error() string {
	return fmt.Sprintf("subscriber %q misses messages in more than %d places of lane %d of channel %q from source %q, epoch %q: "+
		"find out where they went (the broker's retention, a relay of another kind); to go on without them raise MaxHoles",
		e.Subscriber, e.Limit, e.Lane.N, e.Lane.Channel, e.Lane.Source, e.Lane.Epoch)
}

// panicked is the error that a handler's panic becomes.
type panicked struct{ value any }

func (p *panicked) Error() string { return fmt.Sprintf("handler panicked: %v", p.value) }
