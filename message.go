package tidings

import (
	"context"
	"time"
)

// A Message is what a service tells others: one fact or request, named by its
// type, sent to a channel. The zero values of ID, Time and ContentType are
// filled in when the message is appended to an outbox.
type Message struct {
	// ID is unique among all messages. Default when appended: a new UUIDv7.
	ID string
	// Source names the outbox that the message was appended to. The relay
	// fills it in; what an appender writes there is ignored.
	Source string
	// Channel is the named stream that the message is sent to: a Kafka topic,
	// a NATS subject. Required.
	Channel string
	// Key orders messages: those of one channel with the same key stay in
	// order. For an event it is the aggregate's id. A message without a key
	// is ordered relative to no other.
	Key string
	// Type is the name of the message's type on the wire, chosen by the user,
	// never the name of a Go type. Required.
	Type string
	// Subject is what the message is about, if that is not its key.
	Subject string
	// Time is when the message was made. Default when appended: now, in UTC.
	// Stores keep it to the microsecond.
	Time time.Time
	// ContentType is the media type of the payload. Default:
	// "application/json".
	ContentType string
	// Headers carry what is not in the payload; see [Headers] for the names
	// that are allowed.
	Headers Headers
	// Payload is the body. It may be empty.
	Payload []byte
	// Stamp is the message's place in its lane, given by a relay. It is zero
	// before that, and on messages of producers that count nothing.
	Stamp Stamp
}

// A Stamp is the place that a relay gave to a message: number Sequence of lane
// Lane in epoch Epoch. Numbers of a lane are dense and start at 1, so a reader
// can tell a repeated message from a new one, and notice a missing one.
type Stamp struct {
	// Epoch names the period in which numbers of one source count up without
	// a restart. Epochs are unique; they are compared for equality only.
	Epoch string
	// Lane is the lane's number within its source and channel.
	Lane int
	// Sequence is the message's number within the lane; 0 means "no stamp".
	Sequence uint64
}

// A Lane is the unit of order and of counting: those messages of one channel,
// out of one source, whose keys hash to the same number.
type Lane struct {
	Source  string
	Epoch   string
	Channel string
	N       int
}

// Lane returns the lane that a relay put the message in. ok is false for a
// message without a stamp.
func (m *Message) Lane() (lane Lane, ok bool) {
	if m.Stamp.Sequence == 0 {
		return Lane{}, false
	}
	return Lane{Source: m.Source, Epoch: m.Stamp.Epoch, Channel: m.Channel, N: m.Stamp.Lane}, true
}

// OrderingKey is what decides the message's lane and its broker partition: its
// key, or, for a message without one, its id.
func (m *Message) OrderingKey() string {
	if m.Key != "" {
		return m.Key
	}
	return m.ID
}

// OrderLane names what the message stays in order with on its way through a
// broker: its lane, or, without a stamp, its ordering key. The lane is kept as
// a whole, so that what comes late in it is really late.
func (m *Message) OrderLane() Lane {
	if lane, ok := m.Lane(); ok {
		return lane
	}
	return Lane{Source: m.OrderingKey(), Channel: m.Channel}
}

// Names of the headers that Tidings itself reads and writes.
const (
	// HeaderCorrelationID joins all messages that follow from one request: it
	// is the id of the first of them, or what the first one's sender chose.
	HeaderCorrelationID = "correlationid"
	// HeaderCausationID is the id of the message whose handling appended this one.
	HeaderCausationID = "causationid"
	// HeaderTraceparent is the W3C trace context of the sender.
	HeaderTraceparent = "traceparent"
)

type causeKey struct{}

// WithCause returns a context that remembers m as the message being handled.
// What is appended to an outbox under that context carries on m's correlation
// id and trace, and names m as its cause. The inbox calls it before a handler.
func WithCause(ctx context.Context, m *Message) context.Context {
	return context.WithValue(ctx, causeKey{}, m)
}

// Cause returns the message being handled, or nil outside a handler.
func Cause(ctx context.Context) *Message {
	m, _ := ctx.Value(causeKey{}).(*Message)
	return m
}
