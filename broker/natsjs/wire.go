package natsjs

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tidings.example"
	"tidings.example/broker"
)

// encode makes what is sent for a message: subject, headers, body. It has no
// reply subject yet. The error is permanent.
func (b *Broker) encode(m *tidings.Message, c *channel) (*nats.Msg, error) {
	r, err := b.config.Codec.Encode(m)
	if err != nil {
		return nil, err
	}
	msg := &nats.Msg{
		Subject: b.names.subject(c.name, c.partition(m.OrderingKey())),
		Header:  make(nats.Header, len(r.Headers)+1),
		Data:    r.Value,
	}
	for _, h := range r.Headers {
		msg.Header[h.Name] = []string{h.Value}
	}
	msg.Header[nats.MsgIdHdr] = []string{publicationID(m)}
	return msg, nil
}

// publicationID is what the server recognizes a repeated publication by. It
// names the place in the lane, where there is one, and not the message: a
// message that is numbered again in a new epoch must not be dropped, or its new
// number would be missing.
func publicationID(m *tidings.Message) string {
	if m.Stamp.Sequence == 0 {
		// A header loses the spaces at its end, and ids may differ in those.
		return m.Source + "/" + url.PathEscape(m.ID)
	}
	return m.Source + "/" + m.Stamp.Epoch + "/" + strconv.Itoa(m.Stamp.Lane) + "/" + strconv.FormatUint(m.Stamp.Sequence, 10)
}

// maxHeader is the most that a stream takes of headers, in bytes.
const maxHeader = math.MaxUint16

// sizes returns the bytes of the headers, as they are sent, and of all.
func sizes(msg *nats.Msg) (header, total int) {
	header = len("NATS/1.0\r\n") + len("\r\n")
	for name, values := range msg.Header {
		for _, value := range values {
			header += len(name) + len(": ") + len(value) + len("\r\n")
		}
	}
	return header, header + len(msg.Data)
}

// Check implements broker.Publisher. A message whose channel cannot be looked
// up now passes if the server's own limit lets it.
func (b *Broker) Check(ctx context.Context, m *tidings.Message) error {
	// Encoding does not depend on the channel; only the subject does.
	c := &channel{name: m.Channel, partitions: 1}
	msg, err := b.encode(m, c)
	if err != nil {
		return err
	}
	limit := int(b.conn.MaxPayload())
	if known := b.channels.perhaps(ctx, m.Channel); known != nil && known.maxMessage > 0 {
		limit = min(limit, known.maxMessage)
	}
	header, total := sizes(msg)
	if header > maxHeader {
		return fmt.Errorf("message %s has %d bytes of headers, more than NATS's %d: %w", m.ID, header, maxHeader, broker.ErrTooLarge)
	}
	if total > limit {
		return fmt.Errorf("message %s has %d bytes, more than the server's limit of %d: %w", m.ID, total, limit, broker.ErrTooLarge)
	}
	return nil
}

// A record is what was read from a stream.
type record struct {
	msg jetstream.Msg
	// sequence is the record's place in its stream.
	sequence uint64
	time     time.Time
}

// decode makes the delivery of a record, whoever wrote it.
func (b *Broker) decode(p place, r record) (tidings.Message, error) {
	in := broker.Record{
		Channel:  p.channel,
		Headers:  make([]broker.Header, 0, len(r.msg.Headers())),
		Value:    r.msg.Data(),
		Position: p.channel + "/" + strconv.Itoa(p.partition) + "/" + strconv.FormatUint(r.sequence, 10),
		Time:     r.time,
	}
	for name, values := range r.msg.Headers() {
		// Among repeated ones the codec takes the last.
		for _, value := range values {
			in.Headers = append(in.Headers, broker.Header{Name: name, Value: value})
		}
	}
	return b.config.Codec.Decode(in)
}
