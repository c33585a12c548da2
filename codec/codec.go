// Package codec turns the payloads of messages into Go values and back: what
// events, commands, replies and the data of sagas are encoded with.
package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
)

// A Codec turns values into payloads and back. It is used by several goroutines.
type Codec interface {
	// ContentType is the media type of what Encode returns.
	ContentType() string
	Encode(v any) ([]byte, error)
	// Decode fills in the value that v points to. Its error is permanent:
	// the message is parked.
	Decode(contentType string, payload []byte, v any) error
}

// JSON is the default codec: encoding/json with its usual rules. A payload must
// be one JSON value other than null, of a JSON media type; text after it is an
// error. Field names match without regard to case, fields that the payload does
// not have keep their zero value, and fields that the Go type does not have are
// skipped, so that publishers may add some.
type JSON struct {
	// DisallowUnknownFields makes fields that the Go type does not have an
	// error. Publishers then cannot add any without first changing their subscribers.
	DisallowUnknownFields bool
}

// ContentType returns "application/json".
func (JSON) ContentType() string { return "application/json" }

// Encode implements [Codec].
func (JSON) Encode(v any) ([]byte, error) { return json.Marshal(v) }

// Decode implements [Codec].
func (c JSON) Decode(contentType string, payload []byte, v any) error {
	if !isJSON(contentType) {
		return fmt.Errorf("content type is %.100q, not JSON", contentType)
	}
	if bytes.Equal(bytes.TrimSpace(payload), []byte("null")) {
		return errors.New("payload is null")
	}
	if !c.DisallowUnknownFields {
		return json.Unmarshal(payload, v)
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("payload has more than one JSON value")
	}
	return nil
}

func isJSON(contentType string) bool {
	if contentType == "" || contentType == "application/json" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json"))
}
