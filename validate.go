package tidings

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds on what a message may carry, in bytes unless said otherwise. They hold
// for every store and broker; a broker may take less (see broker.Publisher).
const (
	MaxName        = 200      // channel, source, subscriber
	MaxType        = 255      // message type
	MaxID          = 255      // message id
	MaxKey         = 255      // key, subject
	MaxContentType = 255      // content type
	MaxHeaders     = 64       // number of headers
	MaxHeaderName  = 64       // one header's name
	MaxHeaderValue = 8 << 10  // one header's value
	MaxPayload     = 16 << 20 // payload
)

// ErrInvalid is what errors about a message's content wrap: the message can
// never be sent as it is.
var ErrInvalid = errors.New("invalid message")

// An InvalidError says which field of a message breaks which rule. It matches
// [ErrInvalid] with errors.Is.
type InvalidError struct {
	Field string
	Rule  string
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("invalid message: %s %s", e.Field, e.Rule)
}

// Is reports whether target is ErrInvalid.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

func invalid(field, rule string, args ...any) error {
	return &InvalidError{Field: field, Rule: fmt.Sprintf(rule, args...)}
}

// Validate checks every field of a message that is ready to be appended or
// published. The error is an [*InvalidError] naming the first bad field.
func (m *Message) Validate() error {
	if err := validText("id", m.ID, MaxID, true); err != nil {
		return err
	}
	if err := ValidateName("channel", m.Channel); err != nil {
		return err
	}
	if err := validateType(m.Type); err != nil {
		return err
	}
	if err := validText("key", m.Key, MaxKey, false); err != nil {
		return err
	}
	if err := validText("subject", m.Subject, MaxKey, false); err != nil {
		return err
	}
	if err := validText("content type", m.ContentType, MaxContentType, true); err != nil {
		return err
	}
	if y := m.Time.UTC().Year(); m.Time.IsZero() || y < 1970 || y > 9999 {
		return invalid("time", "%s is not between the years 1970 and 9999", m.Time.Format(time.RFC3339))
	}
	if err := m.Headers.validate(); err != nil {
		return err
	}
	if len(m.Payload) > MaxPayload {
		return invalid("payload", "has %d bytes, more than %d", len(m.Payload), MaxPayload)
	}
	return nil
}

// ValidateName checks the name of a channel, source or subscriber: 1 to 200
// letters, digits, '.', '_' or '-', starting and ending with a letter or digit,
// without "..". Such a name is valid, unchanged, as a Kafka topic, as a NATS
// subject and inside a CloudEvents source. field is what the error calls it.
func ValidateName(field, name string) error {
	switch {
	case name == "":
		return invalid(field, "is empty")
	case len(name) > MaxName:
		return invalid(field, "has %d bytes, more than %d", len(name), MaxName)
	case !alphanumeric(name[0]) || !alphanumeric(name[len(name)-1]):
		return invalid(field, "%q does not start and end with a letter or digit", name)
	case strings.Contains(name, ".."):
		return invalid(field, "%q contains \"..\"", name)
	}
	for i := range len(name) {
		if c := name[i]; !alphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return invalid(field, "%q contains %q; use letters, digits, '.', '_' and '-'", name, c)
		}
	}
	return nil
}

func validateType(name string) error {
	switch {
	case name == "":
		return invalid("type", "is empty")
	case len(name) > MaxType:
		return invalid("type", "has %d bytes, more than %d", len(name), MaxType)
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' {
			return invalid("type", "%q contains a byte that is not printable ASCII", name)
		}
	}
	return nil
}

func validText(field, s string, limit int, required bool) error {
	switch {
	case required && s == "":
		return invalid(field, "is empty")
	case len(s) > limit:
		return invalid(field, "has %d bytes, more than %d", len(s), limit)
	}
	// Nearly all texts are plain: one look at each byte is enough for them.
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return validBytes(field, s)
		}
	}
	return nil
}

func validBytes(field, s string) error {
	if !utf8.ValidString(s) {
		return invalid(field, "is not valid UTF-8")
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return invalid(field, "contains the control character 0x%02x", s[i])
		}
	}
	return nil
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
