// Package broker is the port to a message broker: publish in order, subscribe
// in order, acknowledge. Its adapters are broker/kafka, broker/natsjs and
// broker/inproc; each passes the suite in broker/brokertest.
//
// The port promises at-least-once delivery, in order per key. It does not
// remove duplicates: that is the inbox's work.
package broker

import (
	"context"
	"errors"

	"tidings.example"
)

// ErrTooLarge is wrapped by what [Publisher.Check] returns for a message that
// the broker will never take because of its size.
var ErrTooLarge = errors.New("message too large for the broker")

// A Publisher sends messages to a broker.
type Publisher interface {
	// Check returns an error if the broker can never take the message: it is
	// too large (wrapping ErrTooLarge), or cannot be encoded. It may ask the
	// broker for its limits the first time it meets a channel. An error that
	// is not permanent (the broker is away) is not returned: the message
	// passes. A message that passes Check is not refused by Publish for its
	// content.
	Check(ctx context.Context, m *tidings.Message) error

	// Publish hands over messages in order and returns when all are handed
	// over, blocking while too much is on its way. For each, done is called
	// once, from any goroutine, with the message's index: with nil when the
	// broker holds it durably, else with the reason. done must not block.
	//
	// Messages with the same tidings.Message.OrderLane are stored in the order
	// in which they were handed over, across calls; if one fails, no later one
	// of its lane that was handed over before done reported the failure is
	// stored. Publish tries again by itself for as long as ctx lives, where
	// that keeps order; once done has reported an error the caller waits for
	// all outstanding calls of done and publishes again from the first
	// message that failed, in order.
	//
	// Nothing is stored of what is handed over with a ctx that is done. A
	// caller that hands over further messages before it has heard of earlier
	// ones needs that: the report of a failure can come between its decision
	// to call Publish and the call. It gives its calls one ctx and cancels
	// that inside done, at the first failure.
	//
	// The messages must not be changed until done was called for them.
	Publish(ctx context.Context, ms []*tidings.Message, done func(i int, err error))
}

// A Subscription says who receives what.
type Subscription struct {
	// Subscriber names the receiver: all processes with the same name share
	// the messages, and the broker remembers for it how far it has got. A new
	// subscriber starts at the oldest message that the broker still has.
	Subscriber string
	// Channels are the streams to receive, at least one.
	Channels []string
	// MaxInFlight bounds the deliveries that are not acknowledged yet.
	// Default 1,000.
	MaxInFlight int
}

// A Delivery is one message, handed to a subscriber.
type Delivery struct {
	// Message is what was received. With Err set it holds what could be read:
	// at least Channel and Payload, and the raw headers whose names are
	// allowed.
	Message tidings.Message
	// Err says why the record is not a valid message; nil for a valid one.
	Err error
	// Ack tells the broker that the message was handled and never needs to be
	// delivered again. Deliveries may be acknowledged in any order and from
	// any goroutine; the adapter stores only a position below which all are
	// acknowledged. A delivery that is never acknowledged comes again when
	// its partition is assigned anew or the subscription starts again.
	Ack func()
}

// A Subscriber receives messages from a broker.
type Subscriber interface {
	// Subscribe calls deliver for every message of the subscription until ctx
	// is done, and then returns nil after its last call of deliver has
	// returned; acknowledgements given before it returns are stored. Messages of one channel with the same ordering
	// key are delivered one after the other in the order in which the broker
	// stored them; deliver blocks to hold back the flow, and the ctx that it
	// is given ends when the messages' partition is taken away. After the partition was taken
	// away or the connection was lost, unacknowledged messages are delivered
	// again, from the first one and in order.
	//
	// It outlives broker restarts and lost connections; an error means that
	// going on makes no sense (no permission, channel missing, bad name).
	Subscribe(ctx context.Context, s Subscription, deliver func(ctx context.Context, d Delivery)) error
}

// A Provisioner can create channels; adapters whose broker does not create them
// by itself offer it.
type Provisioner interface {
	// EnsureChannels creates the channels that are missing and leaves the
	// others as they are.
	EnsureChannels(ctx context.Context, channels ...string) error
}
