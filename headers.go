package tidings

import "slices"

// Headers are a message's named values. A name has 1 to 64 lower-case letters
// and digits, because on the wire each header is a CloudEvents extension
// attribute, and must not be one of the attributes that a message has as a
// field (id, source, type, time ...). A value is text without control characters.
type Headers map[string]string

// reserved are the CloudEvents attributes that carry a message's fields; a
// header of such a name would overwrite one of them.
var reserved = []string{
	"id", "source", "type", "subject", "time", "specversion", "data",
	"datacontenttype", "dataschema", "partitionkey", "lane", "epoch", "sequence",
}

// ReservedHeader reports whether a header may not have this name because a
// field of the message is carried under it.
func ReservedHeader(name string) bool { return slices.Contains(reserved, name) }

func (h Headers) validate() error {
	if len(h) > MaxHeaders {
		return invalid("headers", "are %d, more than %d", len(h), MaxHeaders)
	}
	for name, value := range h {
		if err := validHeaderName(name); err != nil {
			return err
		}
		if validText("", value, MaxHeaderValue, false) != nil {
			// The name is put together only here: relays validate every message.
			return validText("header "+name, value, MaxHeaderValue, false)
		}
	}
	return nil
}

func validHeaderName(name string) error {
	switch {
	case name == "":
		return invalid("header", "has an empty name")
	case len(name) > MaxHeaderName:
		return invalid("header", "name %.20q... has %d bytes, more than %d", name, len(name), MaxHeaderName)
	case ReservedHeader(name):
		return invalid("header", "name %q is reserved for a field of the message", name)
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return invalid("header", "name %q contains %q; use lower-case letters and digits", name, c)
		}
	}
	return nil
}
