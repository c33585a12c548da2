package broker

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidings.example"
)

// CloudEvents is the native wire format: CloudEvents 1.0 in binary mode, one
// header of the broker for each attribute and the payload as the body. It also
// reads structured mode (JSON). docs/formats/cloudevents.md describes each
// header; the two constructors differ as the CloudEvents bindings for Kafka
// and NATS do.
type CloudEvents struct {
	prefix string
	// contentType is the header that carries datacontenttype.
	contentType string
	// escape asks for percent-encoded values: NATS headers are lines of ASCII.
	escape bool
	// names and common are header names that many messages have, so that
	// encoding does not build them each time.
	names  headerNames
	common map[string]string
}

// headerNames are those of the attributes that carry a message's fields.
type headerNames struct {
	specVersion, id, source, messageType, subject, time, key, lane, epoch, sequence string
}

var (
	_ Codec       = (*CloudEvents)(nil)
	_ Measurer    = (*CloudEvents)(nil)
	_ IntoEncoder = (*CloudEvents)(nil)
)

// Attributes that carry a message's fields.
const (
	attrSpecVersion = "specversion"
	attrID          = "id"
	attrSource      = "source"
	attrType        = "type"
	attrSubject     = "subject"
	attrTime        = "time"
	attrContentType = "datacontenttype"
	attrKey         = "partitionkey"
	attrLane        = "lane"
	attrEpoch       = "epoch"
	attrSequence    = "sequence"
)

const (
	specVersion = "1.0"
	// structuredType begins the content type of a structured-mode record.
	structuredType = "application/cloudevents"
	// contentTypeHeader is the header with the record's own content type.
	contentTypeHeader = "content-type"
	// timeLayout is RFC 3339 in UTC with microseconds, always 27 bytes.
	timeLayout = "2006-01-02T15:04:05.000000Z"
	// sequenceDigits makes sequences sort as text as they do as numbers.
	sequenceDigits = 19
)

// KafkaCloudEvents returns the format for Kafka: headers begin with "ce_",
// values are UTF-8, and "content-type" carries the content type.
func KafkaCloudEvents() *CloudEvents {
	return newCloudEvents("ce_", contentTypeHeader, false)
}

// NATSCloudEvents returns the format for NATS: headers begin with "ce-", and
// values are percent-encoded where they are not printable ASCII.
func NATSCloudEvents() *CloudEvents {
	return newCloudEvents("ce-", "ce-"+attrContentType, true)
}

func newCloudEvents(prefix, contentType string, escape bool) *CloudEvents {
	return &CloudEvents{
		prefix: prefix, contentType: contentType, escape: escape,
		names: headerNames{
			specVersion: prefix + attrSpecVersion, id: prefix + attrID, source: prefix + attrSource, messageType: prefix + attrType,
			subject: prefix + attrSubject, time: prefix + attrTime, key: prefix + attrKey,
			lane: prefix + attrLane, epoch: prefix + attrEpoch, sequence: prefix + attrSequence,
		},
		common: map[string]string{
			tidings.HeaderCorrelationID: prefix + tidings.HeaderCorrelationID,
			tidings.HeaderCausationID:   prefix + tidings.HeaderCausationID,
			tidings.HeaderTraceparent:   prefix + tidings.HeaderTraceparent,
		},
	}
}

// header returns the name of the header that carries a message's header.
func (c *CloudEvents) header(name string) string {
	if whole, ok := c.common[name]; ok {
		return whole
	}
	return c.prefix + name
}

// Encode implements [Codec]. Besides what Validate refuses it refuses a message
// without a source, with a stamp that is not whole, or whose content type is
// that of structured CloudEvents, which a reader would take for an envelope.
func (c *CloudEvents) Encode(m *tidings.Message) (Record, error) {
	var r Record
	if err := c.EncodeInto(&r, m); err != nil {
		return Record{}, err
	}
	return r, nil
}

// EncodeInto implements [IntoEncoder].
func (c *CloudEvents) EncodeInto(r *Record, m *tidings.Message) error {
	if err := encodable(m); err != nil {
		return err
	}
	headers := r.Headers[:0]
	if headers == nil {
		headers = make([]Header, 0, 8+4+len(m.Headers))
	}
	e := encoder{c: c, headers: headers}
	// One text holds the three values that are not strings already.
	var buf [64]byte
	b := appendTime(buf[:0], m.Time)
	timeEnd := len(b)
	if m.Stamp.Sequence > 0 {
		b = strconv.AppendInt(b, int64(m.Stamp.Lane), 10)
	}
	laneEnd := len(b)
	if m.Stamp.Sequence > 0 {
		b = appendSequence(b, m.Stamp.Sequence)
	}
	text := string(b)

	n := &c.names
	e.add(n.specVersion, specVersion)
	e.add(n.id, m.ID)
	e.add(n.source, m.Source)
	e.add(n.messageType, m.Type)
	e.add(n.time, text[:timeEnd])
	e.add(c.contentType, m.ContentType)
	if m.Subject != "" {
		e.add(n.subject, m.Subject)
	}
	if m.Key != "" {
		e.add(n.key, m.Key)
	}
	if m.Stamp.Sequence > 0 {
		e.add(n.epoch, m.Stamp.Epoch)
		e.add(n.lane, text[timeEnd:laneEnd])
		e.add(n.sequence, text[laneEnd:])
	}
	e.addAll(m.Headers)

	*r = Record{Channel: m.Channel, Key: m.OrderingKey(), Headers: e.headers, Value: m.Payload}
	if r.Value == nil {
		// Kafka takes a record without a value for the deletion of its key.
		r.Value = []byte{}
	}
	return nil
}

func encodable(m *tidings.Message) error {
	if err := m.Validate(); err != nil {
		return err
	}
	switch {
	case m.Source == "":
		return &tidings.InvalidError{Field: "source", Rule: "is empty"}
	case isStructured(m.ContentType):
		return &tidings.InvalidError{Field: "content type", Rule: fmt.Sprintf("%q belongs to an envelope, not to a payload", m.ContentType)}
	case m.Stamp.Sequence == 0:
		return nil
	case m.Stamp.Sequence > math.MaxInt64:
		return &tidings.InvalidError{Field: "stamp", Rule: "has a sequence above 2^63-1"}
	case m.Stamp.Epoch == "":
		return &tidings.InvalidError{Field: "stamp", Rule: "has a sequence but no epoch"}
	case m.Stamp.Lane < 0 || m.Stamp.Lane > math.MaxInt32:
		return &tidings.InvalidError{Field: "stamp", Rule: "has a lane that is not between 0 and 2^31-1"}
	}
	return nil
}

// isStructured reports whether a content type is that of an envelope.
func isStructured(contentType string) bool {
	return len(contentType) >= len(structuredType) && strings.EqualFold(contentType[:len(structuredType)], structuredType)
}

func appendSequence(b []byte, n uint64) []byte {
	var digits [20]byte
	d := strconv.AppendUint(digits[:0], n, 10)
	for range sequenceDigits - len(d) {
		b = append(b, '0')
	}
	return append(b, d...)
}

// An encoder collects the headers of one record.
type encoder struct {
	c       *CloudEvents
	headers []Header
}

func (e *encoder) add(name, value string) {
	e.headers = append(e.headers, Header{name, e.value(value)})
}

// addAll adds a message's headers in the order of their names, so that the
// same message always gives the same bytes.
func (e *encoder) addAll(h tidings.Headers) {
	if len(h) == 0 {
		return
	}
	var space [8]string
	names := space[:0]
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		e.add(e.c.header(name), h[name])
	}
}

func (e *encoder) value(s string) string {
	if e.c.escape {
		return percentEncode(s)
	}
	return s
}

// parseTime reads the time attribute and cuts it to the microseconds that a
// message keeps.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("attribute time %.40q is not an RFC 3339 time", s)
	}
	return t.UTC().Truncate(time.Microsecond), nil
}
