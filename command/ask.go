package command

import (
	"fmt"
	"time"

	"tidings.example"
)

// Bounds on what a command says of itself, in bytes. They keep what is remembered
// of a command, and its token, small.
const (
	// maxCommandID has room for a saga's type, its id and a step.
	maxCommandID = 1024
	maxStep      = 512
	maxReference = 255 // saga's type and id, reply key
	maxTarget    = 255
)

// An ask is who wants to be told what becomes of a command, and of which one. Its
// names are those in a token.
type ask struct {
	Participant  string `json:"p"`
	CommandID    string `json:"c"`
	ReplyChannel string `json:"rc,omitempty"`
	ReplyKey     string `json:"rk,omitempty"`
	SagaType     string `json:"st,omitempty"`
	SagaID       string `json:"si,omitempty"`
	SagaStep     string `json:"ss,omitempty"`
	Repeatable   bool   `json:"re,omitempty"`
	// Locked is the target that was locked for the command.
	Locked string `json:"l,omitempty"`
	// Round counts how often a repeated command was handled anew: once for each
	// answer that came later and was a retryable failure.
	Round int `json:"n,omitempty"`

	message *tidings.Message
}

func askOf(m *tidings.Message) ask {
	h := m.Headers
	a := ask{Participant: h[HeaderParticipant], CommandID: h[HeaderCommandID], ReplyChannel: h[HeaderReplyChannel], ReplyKey: h[HeaderReplyKey],
		SagaType: h[HeaderSagaType], SagaID: h[HeaderSagaID], SagaStep: h[HeaderSagaStep], Repeatable: h[HeaderRepeatable] == "true", message: m}
	if a.CommandID == "" {
		a.CommandID = m.ID
	}
	return a
}

func (a *ask) saga() Saga { return Saga{Type: a.SagaType, ID: a.SagaID} }

// wanted reports whether somebody wants a reply.
func (a *ask) wanted() bool { return a.ReplyChannel != "" }

// check returns why no reply could be sent for a, or nothing could be remembered.
func (a *ask) check() error {
	for _, v := range []struct {
		name, value string
		limit       int
	}{
		{HeaderCommandID, a.CommandID, maxCommandID}, {HeaderReplyKey, a.ReplyKey, maxReference}, {HeaderSagaType, a.SagaType, maxReference},
		{HeaderSagaID, a.SagaID, maxReference}, {HeaderSagaStep, a.SagaStep, maxStep},
	} {
		if len(v.value) > v.limit {
			return fmt.Errorf("header %q has %d bytes, more than %d", v.name, len(v.value), v.limit)
		}
	}
	switch {
	case (a.SagaType == "") != (a.SagaID == ""):
		return fmt.Errorf("headers %q and %q: one has a value and the other has none", HeaderSagaType, HeaderSagaID)
	case !a.wanted():
		return nil
	}
	// What a reply would be checked for when it is appended, before anything is done.
	r := tidings.Message{ID: "id", Channel: a.ReplyChannel, Key: a.ReplyKey, Type: TypeDone, Time: time.Unix(0, 0),
		ContentType: "application/json", Headers: a.head(OutcomeSuccess)}
	if err := r.Validate(); err != nil {
		return fmt.Errorf("it cannot be replied to: %w", err)
	}
	return nil
}

func checkAsk(m *tidings.Message) error {
	a := askOf(m)
	return a.check()
}

// head returns the headers of a reply.
func (a *ask) head(outcome string) tidings.Headers {
	h := tidings.Headers{HeaderOutcome: outcome, HeaderCommandID: a.CommandID}
	set(h, HeaderParticipant, a.Participant)
	set(h, HeaderSagaType, a.SagaType)
	set(h, HeaderSagaID, a.SagaID)
	set(h, HeaderSagaStep, a.SagaStep)
	set(h, HeaderLocked, a.Locked)
	return h
}
