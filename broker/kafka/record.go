package kafka

import (
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example"
	"tidings.example/broker"
)

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
