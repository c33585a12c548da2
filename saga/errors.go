package saga

import "errors"

// Refuse marks an error of a local step as final: what the step has written is
// rolled back, it is refused, and the saga compensates. Any other error may pass: the
// transaction is rolled back and the step tried again as its [Step.Retry]
// says. Refuse(nil) is nil.
func Refuse(err error) error {
	if err == nil {
		return nil
	}
	return &refusal{err}
}

// IsRefused reports whether err, or an error that it wraps, was marked by [Refuse].
func IsRefused(err error) bool {
	_, ok := errors.AsType[*refusal](err)
	return ok
}

type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }
