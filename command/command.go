package command

import (
	"tidings.example"
	"tidings.example/codec"
)

// A Participant is a service that can be asked to do something: where its
// commands are sent, and how they and their replies are encoded. It is data
// that both sides share.
type Participant struct {
	// Name is sent with each command and so must not change later: 1 to 200
	// letters, digits, '.', '_' and '-'.
	Name string
	// Channel is where its commands are sent. Several participants may share
	// one; if not all of them are handled by one [Receiver], see [Receiver.Ignore].
	Channel string
	// Codec encodes commands and replies. Default codec.JSON{}.
	Codec codec.Codec
}

// A Command is a Go type whose values ask a participant to do something. Its
// zero value must be able to say its name.
type Command interface {
	// CommandType is the name of the type on the wire: 1 to 255 printable ASCII
	// characters without spaces, the same for all values. It must not change
	// when the Go type is renamed.
	CommandType() string
}

// A Reply is a Go type whose values answer commands.
type Reply interface {
	// ReplyType is the name of the type on the wire, as CommandType.
	ReplyType() string
}

// Of is a command as a handler gets it.
type Of[C Command] struct {
	// Data is the decoded payload.
	Data C
	// ID names the command. It is the same for repeated attempts of one step of a saga.
	ID string
	// Saga is who asks; zero for a command that no saga sent.
	Saga Saga
	// Message is the whole message. It must not be changed.
	Message *tidings.Message

	ask ask
}

// A Saga names the saga that a command was sent for.
type Saga struct{ Type, ID string }

// Names of the headers of commands and replies; docs/formats/commands.md is
// their contract.
const (
	// HeaderParticipant names the participant that a command is for.
	HeaderParticipant = "participant"
	// HeaderCommandID is the id of the command, the same for repeated attempts. A
	// reply carries it back. A final failure of a repeatable command is final for its
	// id: to ask anew after one takes a new id.
	HeaderCommandID = "commandid"
	// HeaderReplyChannel and HeaderReplyKey say where to send the reply, and
	// with which key. A command without a reply channel is a notification.
	HeaderReplyChannel = "replychannel"
	HeaderReplyKey     = "replykey"
	// HeaderSagaType, HeaderSagaID and HeaderSagaStep name the saga and the attempt at
	// one of its steps. A reply carries them back.
	HeaderSagaType = "sagatype"
	HeaderSagaID   = "sagaid"
	HeaderSagaStep = "sagastep"
	// HeaderRepeatable is "true" on commands that may be sent again with the
	// same id: the participant then remembers its answer.
	HeaderRepeatable = "repeatable"
	// HeaderOutcome of a reply is "success" or "failure".
	HeaderOutcome = "outcome"
	// HeaderFailure of a failure without a reply of the user's says why: one of the Failure constants.
	HeaderFailure = "failure"
	// HeaderRetryable is "true" on failures that may pass.
	HeaderRetryable = "retryable"
	// HeaderLocked of a reply is the target that the participant has locked for the saga.
	HeaderLocked = "locked"
)

// The values of HeaderOutcome.
const (
	OutcomeSuccess = "success"
	OutcomeFailure = "failure"
)

// Why a command failed without a reply of the user's.
const (
	// FailureUnhandled: the participant has no handler for the type.
	FailureUnhandled = "unhandled"
	// FailureUndecodable: the payload cannot be decoded.
	FailureUndecodable = "undecodable"
	// FailureRejected: the handler failed with an error as often as the inbox allows, or for good.
	FailureRejected = "rejected"
	// FailureRefused: the handler refused, without a reply of the user's ([Refuse]).
	FailureRefused = "refused"
)

// Types of messages that Tidings itself sends.
const (
	// TypeDone is the type of a reply without a body of the user's.
	TypeDone = "tidings.done"
	// TypeFailed is the type of a failure without a reply of the user's. Its payload is a [Problem].
	TypeFailed = "tidings.failed"
	// TypeUnlock is the type of the command that ends a saga's locks at a
	// participant. It has no reply.
	TypeUnlock = "tidings.unlock"
)

// A Problem is the reply to a command that failed without a reply of the user's.
type Problem struct {
	// Failure is one of the Failure constants.
	Failure string `json:"failure"`
	Detail  string `json:"detail"`
}

// ReplyType implements [Reply].
func (Problem) ReplyType() string { return TypeFailed }
