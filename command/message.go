package command

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"time"

	"tidings.example"
	"tidings.example/codec"
)

// An Option says more about a command that is sent.
type Option func(*sending)

type sending struct {
	id, key                string
	replyChannel, replyKey string
	saga                   Saga
	step                   string
	repeatable             bool
	headers                tidings.Headers
}

// ReplyTo asks for a reply, sent to a channel with a key. Replies with one key
// stay in order. Without this option the command is a notification: nobody is told what becomes of it.
func ReplyTo(channel, key string) Option {
	return func(s *sending) { s.replyChannel, s.replyKey = channel, key }
}

// Key orders the command: those with the same key reach the participant's
// handlers in the order in which they were sent. Default: the id of the saga or, without
// one, the command's own id, which orders it relative to no other.
func Key(key string) Option { return func(s *sending) { s.key = key } }

// ID names the command. Default: a new UUIDv7.
func ID(id string) Option { return func(s *sending) { s.id = id } }

// ForSaga names the saga that the command is sent for, and the attempt at one of
// its steps. The reply carries both back.
func ForSaga(saga Saga, step string) Option {
	return func(s *sending) { s.saga, s.step = saga, step }
}

// Repeatable says that the command may be sent again with the same [ID]: the
// participant then remembers its answer and gives it again instead of calling the
// handler again. A failure that is retryable is not remembered.
func Repeatable() Option { return func(s *sending) { s.repeatable = true } }

// Headers adds headers of the user's own, such as a tenant or a trace.
func Headers(headers tidings.Headers) Option {
	return func(s *sending) {
		if s.headers == nil {
			s.headers = tidings.Headers{}
		}
		maps.Copy(s.headers, headers)
	}
}

// Message returns a command as the message that is to be appended to an outbox,
// for those who append several at once; [Sender] is for all others. The error
// says which part of the participant or the command is not valid.
func Message(p Participant, c Command, options ...Option) (tidings.Message, error) {
	m, err := message(p, c, options)
	if err != nil {
		return tidings.Message{}, fmt.Errorf("command for %.100q: %w", p.Name, err)
	}
	return m, nil
}

func message(p Participant, c Command, options []Option) (m tidings.Message, err error) {
	if err := p.validate(); err != nil {
		return m, err
	}
	if isNil(c) {
		return m, errors.New("the command is nil")
	}
	encoding := p.codecOrJSON()
	payload, err := encoding.Encode(c)
	if err != nil {
		return m, fmt.Errorf("encode %s: %w", c.CommandType(), err)
	}
	var s sending
	for _, option := range options {
		option(&s)
	}
	id := tidings.NewID()
	m = tidings.Message{ID: id, Channel: p.Channel, Key: cmp.Or(s.key, s.saga.ID, s.id), Type: c.CommandType(),
		ContentType: encoding.ContentType(), Headers: s.head(p, cmp.Or(s.id, id)), Payload: payload}
	if err := checkAsk(&m); err != nil {
		return m, err
	}
	complete := m
	complete.Time = time.Unix(0, 0) // the outbox fills it in
	return m, complete.Validate()
}

// head returns the command's headers.
func (s *sending) head(p Participant, id string) tidings.Headers {
	h := tidings.Headers{}
	maps.Copy(h, s.headers)
	h[HeaderParticipant], h[HeaderCommandID] = p.Name, id
	set(h, HeaderReplyChannel, s.replyChannel)
	set(h, HeaderReplyKey, s.replyKey)
	set(h, HeaderSagaType, s.saga.Type)
	set(h, HeaderSagaID, s.saga.ID)
	set(h, HeaderSagaStep, s.step)
	if s.repeatable {
		h[HeaderRepeatable] = "true"
	}
	return h
}

// Unlock returns the message that ends the locks of a saga at a participant. Its
// key is the saga's id, so it follows the saga's commands that have no key of their own.
func Unlock(p Participant, saga Saga) tidings.Message {
	return tidings.Message{ID: tidings.NewID(), Channel: p.Channel, Key: saga.ID, Type: TypeUnlock, ContentType: "application/json", Payload: []byte("{}"),
		Headers: tidings.Headers{HeaderParticipant: p.Name, HeaderSagaType: saga.Type, HeaderSagaID: saga.ID}}
}

func (p *Participant) validate() error {
	if err := tidings.ValidateName("participant name", p.Name); err != nil {
		return err
	}
	return tidings.ValidateName("channel", p.Channel)
}

func (p *Participant) codecOrJSON() codec.Codec {
	if p.Codec == nil {
		return codec.JSON{}
	}
	return p.Codec
}

// set sets a header that has a value.
func set(h tidings.Headers, name, value string) {
	if value != "" {
		h[name] = value
	}
}

func isNil(x any) bool {
	v := reflect.ValueOf(x)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}
