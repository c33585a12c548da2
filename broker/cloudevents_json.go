package broker

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
)

// looksStructured reports whether a body without any CloudEvents header is an
// envelope: some writers, the Go SDK for NATS among them, send no content type.
func looksStructured(body []byte) bool {
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) == 0 || body[0] != '{' || !bytes.Contains(body, []byte(`"specversion"`)) {
		return false
	}
	var probe struct {
		SpecVersion string `json:"specversion"`
		Type        string `json:"type"`
	}
	return json.Unmarshal(body, &probe) == nil && probe.SpecVersion == specVersion && probe.Type != ""
}

// structured takes all attributes and the payload out of a JSON envelope.
func (d *decoder) structured(contentType string, body []byte) {
	mediaType, _, _ := strings.Cut(contentType, ";")
	if !strings.EqualFold(strings.TrimSpace(mediaType), structuredType+"+json") {
		d.fail("structured CloudEvents of content type %.60q cannot be read, only %s+json", contentType, structuredType)
		return
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		d.fail("structured CloudEvent is not a JSON object: %w", err)
		return
	}
	d.m.ContentType = ""
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names) // so that the same record always gives the same error
	for _, name := range names {
		if name == "data" || name == "data_base64" || string(fields[name]) == "null" {
			continue
		}
		value, ok := scalar(fields[name])
		if !ok {
			d.fail("attribute %.70s is neither text, number nor boolean", name)
			continue
		}
		d.set(name, value)
	}
	d.payload(fields)
}

// scalar returns the text of an attribute's JSON value.
func scalar(raw json.RawMessage) (string, bool) {
	switch raw[0] {
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err == nil
	case '{', '[', 'n':
		return "", false
	}
	return string(raw), true // a number, true or false
}

// payload follows the JSON event format: data is JSON, unless the content type
// says otherwise and it is a string, and data_base64 is bytes.
func (d *decoder) payload(fields map[string]json.RawMessage) {
	d.m.Payload = nil
	if raw, ok := fields["data_base64"]; ok {
		text, ok := scalar(raw)
		data, err := base64.StdEncoding.DecodeString(text)
		if !ok || err != nil {
			d.fail("attribute data_base64 is not base64 text")
			return
		}
		d.m.Payload = data
		return
	}
	raw, ok := fields["data"]
	if !ok {
		return
	}
	if raw[0] == '"' && !isJSON(d.m.ContentType) {
		text, _ := scalar(raw)
		d.m.Payload = []byte(text)
		return
	}
	d.m.Payload = raw
}

// isJSON reports whether a content type is JSON; an absent one is.
func isJSON(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	return t == "" || t == "application/json" || t == "text/json" || strings.HasSuffix(t, "+json")
}
