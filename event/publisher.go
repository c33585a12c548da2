package event

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"tidings.example"
	"tidings.example/outbox"
)

// A Publisher publishes the events of one aggregate through an outbox. It may
// be used by several goroutines.
type Publisher[Tx any] struct {
	aggregate Aggregate
	outbox    *outbox.Outbox[Tx]
	err       error
}

// NewPublisher returns a publisher. If the aggregate's name or channel is not
// valid, or the outbox is nil, Publish returns an error that says so.
func NewPublisher[Tx any](a Aggregate, o *outbox.Outbox[Tx]) *Publisher[Tx] {
	p := &Publisher[Tx]{aggregate: a, outbox: o, err: a.validate()}
	if o == nil {
		p.err = errors.New("the publisher's outbox is nil")
	}
	return p
}

// Publish appends events of the aggregate with the given id to the outbox, in
// order, in tx: they are published if and only if tx commits. Inside a handler
// they carry on the handled message's correlation id.
//
// An error matching [tidings.ErrInvalid] names what is wrong with an event, and
// nothing has been written. After any other error tx should be rolled back.
func (p *Publisher[Tx]) Publish(ctx context.Context, tx Tx, aggregateID string, events ...Event) error {
	ms, err := p.messages(aggregateID, events)
	if err == nil {
		err = p.outbox.Append(ctx, tx, ms...)
	}
	if err != nil {
		return fmt.Errorf("publish events of %s: %w", p.aggregate.Name, err)
	}
	return nil
}

func (p *Publisher[Tx]) messages(id string, events []Event) ([]tidings.Message, error) {
	switch {
	case p.err != nil:
		return nil, p.err
	case id == "":
		return nil, errNoID
	}
	codec := p.aggregate.codecOrJSON()
	ms := make([]tidings.Message, len(events))
	for i, e := range events {
		if isNil(e) {
			return nil, fmt.Errorf("event %d is nil", i)
		}
		payload, err := codec.Encode(e)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", e.EventType(), err)
		}
		ms[i] = tidings.Message{
			Channel: p.aggregate.Channel, Key: id, Type: e.EventType(), ContentType: codec.ContentType(), Payload: payload,
			Headers: tidings.Headers{HeaderAggregateType: p.aggregate.Name},
		}
	}
	return ms, nil
}

func isNil(e Event) bool {
	v := reflect.ValueOf(e)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}
