package eventtest

import (
	"context"
	"fmt"
	"testing"

	"tidings.example"
	"tidings.example/event"
	"tidings.example/outbox"
)

// Sent is an event of an aggregate.
type Sent struct {
	Aggregate event.Aggregate
	// ID is the aggregate's.
	ID    string
	Event event.Event
}

// Of is an event that has happened to the aggregate with an id.
func Of(a event.Aggregate, id string, e event.Event) Sent { return Sent{a, id, e} }

func (s Sent) String() string {
	if s.Event == nil {
		return "Do"
	}
	return fmt.Sprintf("%s %s of %s %q: %+v", s.Aggregate.Channel, s.Event.EventType(), s.Aggregate.Name, s.ID, s.Event)
}

// message encodes the event as its publisher does. Each time it has another id.
func (s Sent) message(t testing.TB) tidings.Message {
	t.Helper()
	var got capture
	o := outbox.New[struct{}](&got, 0)
	if err := event.NewPublisher(s.Aggregate, o).Publish(context.Background(), struct{}{}, s.ID, s.Event); err != nil {
		t.Fatalf("eventtest: %v", err)
	}
	m := got.messages[0]
	m.Source = "eventtest"
	return m
}

type capture struct{ messages []tidings.Message }

func (c *capture) Insert(_ context.Context, _ struct{}, ms []tidings.Message) error {
	c.messages = append(c.messages, ms...)
	return nil
}
