package broker

import (
	"time"

	"tidings.example"
)

// A Codec turns messages into what a broker stores and back. Names of headers
// and their meaning are its secret alone: adapters move a [Record] and look at
// nothing in it but channel, key and sizes. [KafkaCloudEvents] and
// [NATSCloudEvents] are the native formats; [PerChannel] chooses among several.
//
// A Codec may be used from many goroutines at once.
type Codec interface {
	// Encode returns the record of a message that is ready to be sent: it has
	// passed tidings.Message.Validate and has a source. The error is permanent,
	// and is a *tidings.InvalidError where a field of the message is at fault.
	// The record's value shares m's payload.
	Encode(m *tidings.Message) (Record, error)

	// Decode reads a record, whoever wrote it. With an error the message still
	// holds what could be read: at least Channel, ID, Time and Payload, and
	// those headers whose names and values are allowed; each of its other
	// fields is valid or empty. The message's payload may share r.Value.
	Decode(r Record) (tidings.Message, error)
}

// A Measurer is a [Codec] that can tell how large a record will be without making
// it. Each message is measured before it is published.
type Measurer interface {
	// Measure returns the Size of the record that Encode returns, and how many
	// headers it has, or the same error.
	Measure(m *tidings.Message) (bytes, headers int, err error)
}

// Measure returns what a [Measurer] does, of any codec.
func Measure(c Codec, m *tidings.Message) (bytes, headers int, err error) {
	if c, ok := c.(Measurer); ok {
		return c.Measure(m)
	}
	r, err := c.Encode(m)
	if err != nil {
		return 0, 0, err
	}
	return r.Size(), len(r.Headers), nil
}

// An IntoEncoder is a [Codec] that can make a record in the memory of another
// one.
type IntoEncoder interface {
	// EncodeInto does what Encode does. It overwrites r and the array of its
	// Headers, which may be nil; nothing that belonged to r may be in use. With an
	// error r is as it was.
	EncodeInto(r *Record, m *tidings.Message) error
}

// EncodeInto does what an [IntoEncoder] does, with any codec.
func EncodeInto(c Codec, r *Record, m *tidings.Message) error {
	if c, ok := c.(IntoEncoder); ok {
		return c.EncodeInto(r, m)
	}
	made, err := c.Encode(m)
	if err == nil {
		*r = made
	}
	return err
}

// A Record is a message as a broker stores it.
type Record struct {
	// Channel is the topic or subject.
	Channel string
	// Key is the broker's own key of the record, which chooses its partition.
	// A broker without keys leaves it empty when reading.
	Key string
	// Headers come in the order in which they are stored. Where a name is
	// repeated the last one counts.
	Headers []Header
	// Value is the body, never nil when encoded.
	Value []byte

	// Position names the record's place in the broker, the same each time it
	// is delivered, such as "orders/3/1042". It becomes the id of a message
	// that has none. Only read by Decode.
	Position string
	// Time is when the broker stored the record; it becomes the time of a
	// message that has none. Only read by Decode.
	Time time.Time
}

// A Header is one named value of a record. The value may be any bytes.
type Header struct{ Name, Value string }

// Size returns the number of bytes in the record's key, headers and value,
// without what the broker adds.
func (r *Record) Size() int {
	n := len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return n
}

// PerChannel is a codec that uses another one for some channels.
type PerChannel struct {
	// Default is for the channels that are not in Channels.
	Default Codec
	// Channels maps channel names to their codecs.
	Channels map[string]Codec
}

var (
	_ Codec       = PerChannel{}
	_ Measurer    = PerChannel{}
	_ IntoEncoder = PerChannel{}
)

// Encode implements [Codec].
func (p PerChannel) Encode(m *tidings.Message) (Record, error) { return p.of(m.Channel).Encode(m) }

// Measure implements [Measurer].
func (p PerChannel) Measure(m *tidings.Message) (bytes, headers int, err error) {
	return Measure(p.of(m.Channel), m)
}

// EncodeInto implements [IntoEncoder].
func (p PerChannel) EncodeInto(r *Record, m *tidings.Message) error {
	return EncodeInto(p.of(m.Channel), r, m)
}

// Decode implements [Codec].
func (p PerChannel) Decode(r Record) (tidings.Message, error) { return p.of(r.Channel).Decode(r) }

func (p PerChannel) of(channel string) Codec {
	if c, ok := p.Channels[channel]; ok {
		return c
	}
	return p.Default
}
