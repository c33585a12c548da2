package natsjs

import (
	"errors"
	"strings"
	"sync"
	"time"
)

// denials remembers what the server has not permitted. It says so apart from
// the request, which goes unanswered.
type denials struct {
	mu    sync.Mutex
	known map[string]denial // by subject
}

type denial struct {
	err error
	at  time.Time
}

// add takes note of an error such as
//
//	nats: permissions violation: Permissions Violation for Publish to "$JS.API.INFO"
func (d *denials) add(err error) {
	_, rest, ok := strings.Cut(err.Error(), `"`)
	if !ok {
		return
	}
	subject, _, _ := strings.Cut(rest, `"`)
	d.mu.Lock()
	defer d.mu.Unlock()
	// Subjects with a random part would fill it in time.
	if d.known == nil || len(d.known) > 1000 {
		d.known = map[string]denial{}
	}
	d.known[subject] = denial{err, time.Now()}
}

// find returns the error for a subject that begins so, if it came after a
// request was made at since.
func (d *denials) find(prefix string, since time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for subject, denied := range d.known {
		if strings.HasPrefix(subject, prefix) && !denied.at.Before(since) {
			return denied.err
		}
	}
	return nil
}

// Subjects of the requests whose denial ends a subscription.
func streamInfoSubject(stream string) string     { return "$JS.API.STREAM.INFO." + stream }
func consumerCreateSubject(stream string) string { return "$JS.API.CONSUMER.CREATE." + stream + "." }

// A deniedError says that the server does not permit what was asked: going on
// makes no sense.
type deniedError struct{ err error }

func (e *deniedError) Error() string { return e.err.Error() }
func (e *deniedError) Unwrap() error { return e.err }

// explain returns what lies behind the error of a request that was made at
// since, on a subject that begins so: where it was denied, a *deniedError.
func (b *Broker) explain(err error, subject string, since time.Time) error {
	if denied := b.denials.find(subject, since); err != nil && denied != nil {
		return &deniedError{denied}
	}
	return err
}

// permanent reports whether trying again makes no sense.
func permanent(err error) bool {
	_, missing := errors.AsType[*missingError](err)
	_, denied := errors.AsType[*deniedError](err)
	return missing || denied || errors.Is(err, ErrClosed)
}
