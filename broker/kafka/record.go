package kafka

import (
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example"
	"tidings.example/broker"
)

// fill makes the client library's record of ours. Key and header values share
// one piece of memory.
func fill(to *kgo.Record, r *broker.Record, now time.Time) {
	n := len(r.Key)
	for i := range r.Headers {
		n += len(r.Headers[i].Value)
	}
	text := make([]byte, 0, n)
	piece := func(s string) []byte {
		from := len(text)
		text = append(text, s...)
		return text[from:len(text):len(text)]
	}
	to.Topic = r.Channel
	to.Key = piece(r.Key)
	to.Value = r.Value
	// The time of publishing, not that of the message: retention counts from it.
	to.Timestamp = now
	to.Headers = make([]kgo.RecordHeader, len(r.Headers))
	for i := range r.Headers {
		to.Headers[i] = kgo.RecordHeader{Key: r.Headers[i].Name, Value: piece(r.Headers[i].Value)}
	}
}

// decode makes a message of the client library's record. The values of all
// headers share one string.
func (b *Broker) decode(from *kgo.Record) (tidings.Message, error) {
	n := 0
	for i := range from.Headers {
		n += len(from.Headers[i].Value)
	}
	var text strings.Builder
	text.Grow(n)
	for i := range from.Headers {
		text.Write(from.Headers[i].Value)
	}
	values := text.String()
	headers := make([]broker.Header, len(from.Headers))
	for i := range from.Headers {
		n := len(from.Headers[i].Value)
		headers[i] = broker.Header{Name: from.Headers[i].Key, Value: values[:n]}
		values = values[n:]
	}
	return b.config.Codec.Decode(broker.Record{
		Channel:  from.Topic,
		Key:      string(from.Key),
		Headers:  headers,
		Value:    from.Value,
		Position: position(from),
		Time:     from.Timestamp,
	})
}

// position is topic/partition/offset: the same however often it is delivered.
func position(r *kgo.Record) string {
	p := make([]byte, 0, 64)
	p = append(p, r.Topic...)
	p = append(p, '/')
	p = strconv.AppendInt(p, int64(r.Partition), 10)
	p = append(p, '/')
	p = strconv.AppendInt(p, r.Offset, 10)
	return string(p)
}
