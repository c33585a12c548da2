package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"tidings.example"
	"tidings.example/codec"
)

// Replied is a reply as those who asked get it.
type Replied struct {
	// Type is the reply's type: the user's, [TypeDone] or [TypeFailed].
	Type string
	// Success says whether the participant did what it was asked.
	Success bool
	// Retryable is set on failures that may pass.
	Retryable bool
	// Failure is one of the Failure constants for a failure without a type of the
	// user's, else "".
	Failure string
	// CommandID names the command, Participant who has answered it. A reply of a
	// service that is not written with Tidings may leave Participant empty.
	CommandID, Participant string
	// Saga and Step are what the command was sent for, if a saga sent it.
	Saga Saga
	Step string
	// Locked is the target that the participant has locked for the saga.
	Locked string
	// Codec decodes the payload. Default codec.JSON{}.
	Codec codec.Codec
	// Message is the whole message. It must not be changed.
	Message *tidings.Message
}

// ErrNoReply is what errors about messages wrap that are no replies.
var ErrNoReply = errors.New("not a reply")

// ParseReply reads what a message says about a command. The error wraps
// [ErrNoReply] and names the header that is missing or has a wrong value.
func ParseReply(m *tidings.Message) (Replied, error) {
	h := m.Headers
	r := Replied{Type: m.Type, Success: h[HeaderOutcome] == OutcomeSuccess, Retryable: h[HeaderRetryable] == "true", Failure: h[HeaderFailure],
		CommandID: h[HeaderCommandID], Participant: h[HeaderParticipant], Saga: Saga{Type: h[HeaderSagaType], ID: h[HeaderSagaID]},
		Step: h[HeaderSagaStep], Locked: h[HeaderLocked], Message: m}
	switch outcome := h[HeaderOutcome]; {
	case outcome == "":
		return Replied{}, noReply(m, "it has no header %q", HeaderOutcome)
	case outcome != OutcomeSuccess && outcome != OutcomeFailure:
		return Replied{}, noReply(m, "header %q is %.50q, neither %q nor %q", HeaderOutcome, outcome, OutcomeSuccess, OutcomeFailure)
	case r.CommandID == "":
		return Replied{}, noReply(m, "it has no header %q", HeaderCommandID)
	case (r.Saga.Type == "") != (r.Saga.ID == ""):
		return Replied{}, noReply(m, "of the headers %q and %q it has only one", HeaderSagaType, HeaderSagaID)
	case r.Success && (r.Retryable || r.Failure != ""):
		return Replied{}, noReply(m, "it is a success with a header %q or %q", HeaderRetryable, HeaderFailure)
	}
	return r, nil
}

func noReply(m *tidings.Message, format string, args ...any) error {
	return fmt.Errorf("message %.100q of type %.100q is %w: %s", m.ID, m.Type, ErrNoReply, fmt.Sprintf(format, args...))
}

// Problem says in a few words why the command failed, "" for a success.
func (r *Replied) Problem() string {
	switch {
	case r.Success:
		return ""
	case r.Type != TypeFailed || r.Message == nil:
		return r.Type
	}
	var p Problem
	if err := json.Unmarshal(r.Message.Payload, &p); err != nil || p.Detail == "" {
		return r.Failure
	}
	if r.Failure == "" {
		return p.Detail
	}
	return r.Failure + ": " + p.Detail
}

// ReplyAs returns the body of a reply as a T. It returns a [*TypeError] for a
// reply of another type than T's, and an error for one that cannot be decoded.
func ReplyAs[T Reply](r Replied) (T, error) {
	zero, isPointer := newOf[T]()
	value := zero
	if want := zero.ReplyType(); r.Type != want {
		return zero, &TypeError{Got: r.Type, Want: want}
	}
	encoding := r.Codec
	if encoding == nil || r.Type == TypeFailed {
		encoding = codec.JSON{}
	}
	var target any = &value
	if isPointer {
		target = value
	}
	if err := encoding.Decode(r.Message.ContentType, r.Message.Payload, target); err != nil {
		return zero, fmt.Errorf("decode reply %s: %w", r.Type, err)
	}
	return value, nil
}

// A TypeError says that a reply is of another type than was expected.
type TypeError struct{ Got, Want string }

func (e *TypeError) Error() string {
	return fmt.Sprintf("the reply is of type %q, not %q", e.Got, e.Want)
}

// A FailedError says that a participant has answered with a failure.
type FailedError struct{ Reply Replied }

func (e *FailedError) Error() string {
	return fmt.Sprintf("command %s failed: %s", e.Reply.CommandID, e.Reply.Problem())
}

// newOf returns a zero value that can say its name: one that is allocated where T is a pointer.
func newOf[T any]() (v T, isPointer bool) {
	if t := reflect.TypeFor[T](); t.Kind() == reflect.Pointer {
		// Always a T: it is the type that was allocated.
		v, _ = reflect.New(t.Elem()).Interface().(T)
		return v, true
	}
	return v, false
}
