package broker

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"tidings.example"
)

// ErrNoType is wrapped by what Decode returns for a record that is no
// CloudEvent and says in no other way what its type is.
var ErrNoType = errors.New("record has no CloudEvents type")

// defaultContentType is what a message has whose writer left it out.
const defaultContentType = "application/json"

// Decode implements [Codec]. It is tolerant of other producers: a missing id is
// replaced by r.Position, a missing time by r.Time, and a missing key by
// r.Key; a message whose attributes are not those of a relay has no stamp;
// headers without the prefix are kept where their names are allowed.
func (c *CloudEvents) Decode(r Record) (tidings.Message, error) {
	d := decoder{m: tidings.Message{Channel: r.Channel, Payload: r.Value}}
	structured, hasType, hasVersion := "", false, false
	for i := range r.Headers {
		h := &r.Headers[i]
		name := strings.ToLower(h.Name)
		switch attr, ours := strings.CutPrefix(name, c.prefix); {
		case name == c.contentType:
			d.set(attrContentType, c.unvalue(h.Value))
			if isStructured(h.Value) {
				structured = h.Value
			}
			hasType = true
		case ours:
			d.set(attr, c.unvalue(h.Value))
			hasVersion = hasVersion || attr == attrSpecVersion
		case name == contentTypeHeader:
			// Only where the binding has another header for it: it wins.
			if isStructured(h.Value) {
				structured = h.Value
			}
			if d.m.ContentType == "" {
				d.set(attrContentType, h.Value)
			}
			hasType = true
		default:
			d.setForeign(h.Name, h.Value)
		}
	}
	switch {
	case structured != "":
		d.structured(structured, r.Value)
	case !hasVersion && !hasType && looksStructured(r.Value):
		d.structured(structuredType+"+json", r.Value)
	}
	return d.finish(&r)
}

func (c *CloudEvents) unvalue(s string) string {
	if c.escape {
		return percentDecode(s)
	}
	return s
}

// A decoder collects the attributes of one record. The first thing that is
// wrong becomes the error; what is wrong leaves its field empty.
type decoder struct {
	m   tidings.Message
	err error
	// stamp has the parts that were present, 1 for each; a stamp needs all.
	stamp    uint8
	stampErr error
	keySet   bool
}

const (
	hasLane uint8 = 1 << iota
	hasEpoch
	hasSequence
	wholeStamp = hasLane | hasEpoch | hasSequence
)

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

// set takes one attribute.
func (d *decoder) set(name, value string) {
	if value == "" && tidings.ReservedHeader(name) {
		return // absent
	}
	switch name {
	case attrSpecVersion:
		if value != specVersion {
			d.fail("attribute specversion is %.20q, not %q", value, specVersion)
		}
	case attrID:
		d.text(&d.m.ID, name, value, tidings.MaxID)
	case attrSource:
		d.text(&d.m.Source, name, value, tidings.MaxName)
	case attrType:
		if !validType(value) {
			d.fail("attribute type is not 1 to %d bytes of printable ASCII", tidings.MaxType)
		} else {
			d.m.Type = value
		}
	case attrSubject:
		d.text(&d.m.Subject, name, value, tidings.MaxKey)
	case attrContentType:
		d.text(&d.m.ContentType, name, value, tidings.MaxContentType)
	case attrKey:
		d.text(&d.m.Key, name, value, tidings.MaxKey)
		d.keySet = true
	case attrTime:
		t, err := parseTime(value)
		if err != nil {
			d.fail("%w", err)
		} else if y := t.Year(); y < 1970 || y > 9999 {
			d.fail("attribute time %.40q is not between the years 1970 and 9999", value)
		} else {
			d.m.Time = t
		}
	case attrLane, attrEpoch, attrSequence:
		d.setStamp(name, value)
	default:
		d.header(name, value)
	}
}

// setStamp reads one of three attributes whose names other producers may use
// for something else: only all three together are a stamp, so a bad value is
// an error only then.
func (d *decoder) setStamp(name, value string) {
	switch name {
	case attrLane:
		d.stamp |= hasLane
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			d.stampErr = fmt.Errorf("attribute lane %.20q is not a number from 0 to 2^31-1", value)
		}
		d.m.Stamp.Lane = int(n)
	case attrEpoch:
		d.stamp |= hasEpoch
		if !validText(value, tidings.MaxID) {
			d.stampErr = errors.New("attribute epoch is not valid text")
		}
		d.m.Stamp.Epoch = value
	case attrSequence:
		d.stamp |= hasSequence
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || n == 0 || n > math.MaxInt64 {
			d.stampErr = fmt.Errorf("attribute sequence %.20q is not a number from 1 to 2^63-1", value)
		}
		d.m.Stamp.Sequence = n
	}
}

// header takes an extension attribute.
func (d *decoder) header(name, value string) {
	switch {
	case tidings.ReservedHeader(name):
		// A CloudEvents attribute that a message has no field for.
	case !validHeaderName(name):
		d.fail("attribute name %.70q is not 1 to %d lower-case letters and digits", name, tidings.MaxHeaderName)
	case !validText(value, tidings.MaxHeaderValue):
		d.fail("attribute %s is not valid text of at most %d bytes", name, tidings.MaxHeaderValue)
	case len(d.m.Headers) >= tidings.MaxHeaders && !d.has(name):
		d.fail("record has more than %d extension attributes", tidings.MaxHeaders)
	default:
		if d.m.Headers == nil {
			d.m.Headers = make(tidings.Headers, 4)
		}
		d.m.Headers[name] = value
	}
}

// setForeign keeps a header that is not an attribute, such as a traceparent
// that an instrumentation has added, unless an attribute has its name.
func (d *decoder) setForeign(name, value string) {
	if !d.has(name) && len(d.m.Headers) < tidings.MaxHeaders &&
		validHeaderName(name) && !tidings.ReservedHeader(name) && validText(value, tidings.MaxHeaderValue) {
		d.header(name, value)
	}
}

func (d *decoder) has(name string) bool {
	_, ok := d.m.Headers[name]
	return ok
}

func (d *decoder) text(field *string, name, value string, limit int) {
	if !validText(value, limit) {
		d.fail("attribute %s is not valid text of at most %d bytes", name, limit)
		return
	}
	*field = value
}

// finish fills in what is missing and checks the whole.
func (d *decoder) finish(r *Record) (tidings.Message, error) {
	m := &d.m
	if d.stamp != wholeStamp || d.stampErr != nil {
		m.Stamp = tidings.Stamp{}
	}
	if d.stamp == wholeStamp && d.stampErr != nil {
		d.fail("%w", d.stampErr)
	}
	if m.ID == "" {
		m.ID = r.Position
	}
	if m.Time.IsZero() {
		m.Time = r.Time.UTC().Truncate(time.Microsecond)
	}
	if m.ContentType == "" {
		m.ContentType = defaultContentType
	}
	if !d.keySet && r.Key != m.ID {
		// A relay's message without a key has its id as the record's key.
		m.Key = textKey(r.Key)
	}
	if m.Type == "" {
		d.fail("decode: %w", ErrNoType)
	}
	if d.err == nil {
		// Catches what is not checked above, such as the payload's size.
		d.err = m.Validate()
	}
	if d.err != nil {
		return *m, fmt.Errorf("decode record: %w", d.err)
	}
	return *m, nil
}
