package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"tidings.example"
	"tidings.example/broker"
)

// deliver takes what the broker delivers. A record that is no valid message
// goes the same way as the others, to be parked in its turn.
func (r *run[Tx]) deliver(ctx context.Context, d broker.Delivery) {
	it := &item{m: &d.Message, ctx: ctx, ack: d.Ack}
	err := d.Err
	if err == nil {
		err = check(it.m)
	}
	if err != nil {
		it.park = reason("not a valid message", err)
		repair(it.m, r.cfg.Now())
	}
	r.queue.put(it)
}

// check returns why a message cannot be recorded.
func check(m *tidings.Message) error {
	s := &m.Stamp
	switch {
	case !text(m.Source, tidings.MaxName):
		return fmt.Errorf("%w: source is not text of at most %d bytes", tidings.ErrInvalid, tidings.MaxName)
	case s.Sequence != 0 && (s.Sequence > maxSequence || s.Lane < 0 || s.Epoch == "" || !text(s.Epoch, tidings.MaxID)):
		return fmt.Errorf("%w: lane %d, sequence %d, epoch %.50q are not a place in a lane", tidings.ErrInvalid, s.Lane, s.Sequence, s.Epoch)
	}
	return m.Validate()
}

// repair makes what could be read of a record storable.
func repair(m *tidings.Message, now time.Time) {
	m.Source = clean(m.Source, tidings.MaxName)
	m.Type = clean(m.Type, tidings.MaxType)
	m.ID = clean(m.ID, tidings.MaxID)
	m.Key = clean(m.Key, tidings.MaxKey)
	m.Subject = clean(m.Subject, tidings.MaxKey)
	m.ContentType = clean(m.ContentType, tidings.MaxContentType)
	headers := make(tidings.Headers, len(m.Headers))
	for name, value := range m.Headers {
		headers[clean(name, tidings.MaxHeaderName)] = clean(value, tidings.MaxHeaderValue)
	}
	m.Headers = headers
	if y := m.Time.UTC().Year(); m.Time.IsZero() || y < 1970 || y > 9999 {
		m.Time = now.UTC().Truncate(time.Microsecond)
	}
	if s := &m.Stamp; s.Sequence > maxSequence || s.Lane < 0 || s.Epoch == "" || !text(s.Epoch, tidings.MaxID) {
		m.Stamp = tidings.Stamp{}
	}
	if m.ID == "" {
		// The same whenever it is delivered, so that it is parked once.
		sum := sha256.Sum256([]byte(m.Channel + "\x00" + m.Source + "\x00" + m.Key + "\x00" + string(m.Payload)))
		m.ID = "sha256-" + hex.EncodeToString(sum[:16])
	}
}

func text(s string, limit int) bool { return clean(s, limit) == s }

// clean returns s as valid text of at most limit bytes.
func clean(s string, limit int) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// maxReason bounds the reason that is stored with a parked message, in bytes.
const maxReason = 2000

// reason is what is stored of an error.
func reason(what string, err error) string {
	s := err.Error()
	if what != "" {
		s = what + ": " + s
	}
	return clean(strings.Join(strings.FieldsFunc(s, func(c rune) bool { return c == '\n' || c == '\r' || c == '\t' }), " "), maxReason)
}
