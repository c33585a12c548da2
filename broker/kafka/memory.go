package kafka

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example/broker"
)

// memory is what the records of one call are made of. It is used again by later
// calls, as a relay would make a thousand bytes of garbage for each message
// otherwise. A call gives it back only when the pump is done with the waves that
// its messages were in, and if none of them failed: then neither the client
// library nor we have a reference to it.
type memory struct {
	messages []outgoing
	// headers and text are cut into pieces for one message after the other.
	headers []kgo.RecordHeader
	text    []byte
	record  broker.Record // what the codec makes, before it becomes the library's
}

const (
	// What a message is expected to need. More is made where that is too little.
	usualHeaders = 11
	usualText    = 256
	// keptText bounds the text that is kept for later calls.
	keptText = 4 << 20
)

var memories = sync.Pool{New: func() any { return new(memory) }}

func newMemory(n int) *memory {
	m := memories.Get().(*memory)
	if cap(m.messages) < n {
		m.messages = make([]outgoing, n)
	}
	m.messages = m.messages[:n]
	m.reserve(n*usualHeaders, n*usualText)
	return m
}

// reserve sees that there is room. What was cut off before stays as it is.
func (m *memory) reserve(headers, text int) {
	if cap(m.headers)-len(m.headers) < headers {
		m.headers = make([]kgo.RecordHeader, 0, headers)
	}
	if cap(m.text)-len(m.text) < text {
		m.text = make([]byte, 0, text)
	}
}

// recycle keeps the memory for a later call.
func (m *memory) recycle() {
	if cap(m.text) > keptText {
		return
	}
	clear(m.messages)
	clear(m.headers)
	m.headers, m.text = m.headers[:0], m.text[:0]
	m.record.Value = nil
	memories.Put(m)
}

// fill makes the client library's record of ours.
func (m *memory) fill(to *kgo.Record, r *broker.Record, now time.Time) {
	n := len(r.Key)
	for i := range r.Headers {
		n += len(r.Headers[i].Value)
	}
	if cap(m.headers)-len(m.headers) < len(r.Headers) || cap(m.text)-len(m.text) < n {
		m.reserve(max(len(r.Headers), cap(m.headers)/4), max(n, cap(m.text)/4))
	}
	to.Topic = r.Channel
	to.Key = m.piece(r.Key)
	to.Value = r.Value
	// The time of publishing, not that of the message: retention counts from it.
	to.Timestamp = now
	from := len(m.headers)
	for i := range r.Headers {
		m.headers = append(m.headers, kgo.RecordHeader{Key: r.Headers[i].Name, Value: m.piece(r.Headers[i].Value)})
	}
	to.Headers = m.headers[from:len(m.headers):len(m.headers)]
}

// piece copies s into the text, which has room for it.
func (m *memory) piece(s string) []byte {
	from := len(m.text)
	m.text = append(m.text, s...)
	return m.text[from:len(m.text):len(m.text)]
}
