package event

import (
	"errors"
	"fmt"
	"time"

	"tidings.example"
	"tidings.example/codec"
)

// HeaderAggregateType is the header with the name of the aggregate that an
// event is about. The aggregate's id is the message's key.
const HeaderAggregateType = "aggregatetype"

// An Aggregate is a kind of thing that events happen to.
type Aggregate struct {
	// Name is sent with each event and so must not change later: 1 to 200
	// letters, digits, '.', '_' and '-'.
	Name string
	// Channel is where the events are sent. Several aggregates may share one.
	Channel string
	// Codec turns events into payloads and back. Default codec.JSON{}.
	Codec codec.Codec
}

func (a *Aggregate) validate() error {
	if err := tidings.ValidateName("aggregate name", a.Name); err != nil {
		return err
	}
	return tidings.ValidateName("channel", a.Channel)
}

func (a *Aggregate) codecOrJSON() codec.Codec {
	if a.Codec == nil {
		return codec.JSON{}
	}
	return a.Codec
}

// An Event is a Go type whose values are events. Its zero value must be able to
// say its name.
type Event interface {
	// EventType is the name of the type on the wire: 1 to 255 printable ASCII
	// characters without spaces, the same for all values. It is stored and
	// sent, so it must not change when the Go type is renamed; an event whose
	// meaning changes gets a new one, such as "OrderCreated.v2".
	EventType() string
}

// validTypeName returns why a name cannot be sent as a message's type.
func validTypeName(a *Aggregate, name string) error {
	m := tidings.Message{ID: "id", Channel: a.Channel, Type: name, Time: time.Unix(0, 0), ContentType: "application/json"}
	return m.Validate()
}

// Of is an event as a handler gets it.
type Of[T Event] struct {
	// Data is the decoded payload.
	Data T
	// AggregateID is the id of the aggregate that the event happened to.
	AggregateID string
	// Message is the whole message: id, time, headers. It must not be changed.
	Message *tidings.Message
}

var errNoID = errors.New("the aggregate's id is empty")

func errf(format string, args ...any) error { return fmt.Errorf("event: "+format, args...) }
