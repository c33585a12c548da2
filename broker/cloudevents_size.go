package broker

import (
	"strconv"
	"time"

	"tidings.example"
)

// Measure implements [Measurer].
func (c *CloudEvents) Measure(m *tidings.Message) (bytes, headers int, err error) {
	if err := encodable(m); err != nil {
		return 0, 0, err
	}
	n := &c.names
	s := size{c: c, bytes: len(m.OrderingKey()) + len(m.Payload)}
	s.add(len(n.specVersion), specVersion)
	s.add(len(n.id), m.ID)
	s.add(len(n.source), m.Source)
	s.add(len(n.messageType), m.Type)
	s.add(len(n.time), timeLayout) // as long as each time in it
	s.add(len(c.contentType), m.ContentType)
	if m.Subject != "" {
		s.add(len(n.subject), m.Subject)
	}
	if m.Key != "" {
		s.add(len(n.key), m.Key)
	}
	if m.Stamp.Sequence > 0 {
		s.add(len(n.epoch), m.Stamp.Epoch)
		var digits [20]byte
		s.add(len(n.lane)+len(strconv.AppendInt(digits[:0], int64(m.Stamp.Lane), 10)), "")
		s.add(len(n.sequence)+sequenceDigits, "")
	}
	for name, value := range m.Headers {
		s.add(len(c.prefix)+len(name), value)
	}
	return s.bytes, s.headers, nil
}

// A size adds up what a record takes.
type size struct {
	c              *CloudEvents
	bytes, headers int
}

func (s *size) add(name int, value string) {
	s.headers++
	s.bytes += name + len(value)
	if s.c.escape {
		s.bytes += len(percentEncode(value)) - len(value)
	}
}

// appendTime appends t as in timeLayout.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = appendDigits(b, year, 4)
	b = appendDigits(append(b, '-'), int(month), 2)
	b = appendDigits(append(b, '-'), day, 2)
	b = appendDigits(append(b, 'T'), hour, 2)
	b = appendDigits(append(b, ':'), minute, 2)
	b = appendDigits(append(b, ':'), second, 2)
	b = appendDigits(append(b, '.'), t.Nanosecond()/1000, 6)
	return append(b, 'Z')
}

// appendDigits appends the last width digits of n.
func appendDigits(b []byte, n, width int) []byte {
	at := len(b) + width
	b = append(b, "0000000000"[:width]...)
	for i := at - 1; n > 0 && i >= at-width; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}
