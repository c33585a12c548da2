package broker_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/broker"
)

// foreign is a record of a producer that is not ours.
func foreign(value string, headers ...string) broker.Record {
	r := broker.Record{
		Channel: "orders", Key: "k", Value: []byte(value),
		Position: "orders/3/42", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, broker.Header{Name: headers[i], Value: headers[i+1]})
	}
	return r
}

func TestDecodeForeign(t *testing.T) {
	t.Parallel()
	ce := func(more ...string) []string {
		return append([]string{"ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "T"}, more...)
	}
	tests := []struct {
		name   string
		record broker.Record
		check  func(m tidings.Message) bool
		err    string
	}{
		{name: "minimal CloudEvent", record: foreign("x", ce()...), check: func(m tidings.Message) bool {
			return m.ID == "1" && m.Source == "/s" && m.Type == "T" && m.Key == "k" && m.Stamp == tidings.Stamp{} &&
				m.Time.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) && m.ContentType == "application/json"
		}},
		{name: "header names in capitals", record: foreign("x", "CE_SpecVersion", "1.0", "CE_ID", "9", "Ce_type", "T", "Content-Type", "text/plain"),
			check: func(m tidings.Message) bool {
				return m.ID == "9" && m.ContentType == "text/plain" && len(m.Headers) == 0
			}},
		{name: "no id", record: foreign("x", "ce_type", "T"), check: func(m tidings.Message) bool { return m.ID == "orders/3/42" }},
		{name: "time with zone and nanoseconds", record: foreign("x", ce("ce_time", "2026-05-06T07:08:09.123456789+02:00")...),
			check: func(m tidings.Message) bool {
				return m.Time.Equal(time.Date(2026, 5, 6, 5, 8, 9, 123456000, time.UTC))
			}},
		{name: "sequence of another meaning", record: foreign("x", ce("ce_sequence", "abc", "ce_lane", "left")...),
			check: func(m tidings.Message) bool { return m.Stamp == tidings.Stamp{} && len(m.Headers) == 0 }},
		{name: "attribute without a field", record: foreign("x", ce("ce_dataschema", "http://x/y")...),
			check: func(m tidings.Message) bool { return len(m.Headers) == 0 }},
		{name: "plain traceparent", record: foreign("x", ce("traceparent", "00-1", "tenant", "plain", "ce_tenant", "ce", "X-Other", "no")...),
			check: func(m tidings.Message) bool {
				return m.Headers["traceparent"] == "00-1" && m.Headers["tenant"] == "ce" && len(m.Headers) == 2
			}},
		{name: "repeated header", record: foreign("x", ce("ce_id", "2")...), check: func(m tidings.Message) bool { return m.ID == "2" }},
		{name: "plain record", record: foreign("x", "tenant", "7"), err: "no CloudEvents type",
			check: func(m tidings.Message) bool {
				return m.ID == "orders/3/42" && m.Key == "k" && m.Headers["tenant"] == "7"
			}},
		{name: "other version", record: foreign("x", "ce_specversion", "0.3", "ce_id", "1", "ce_type", "T"), err: `specversion is "0.3"`,
			check: func(m tidings.Message) bool { return m.ID == "1" && m.Type == "T" }},
		{name: "bad time", record: foreign("x", ce("ce_time", "yesterday")...), err: "not an RFC 3339 time",
			check: func(m tidings.Message) bool { return !m.Time.IsZero() }},
		{name: "bad stamp", record: foreign("x", ce("ce_epoch", "e", "ce_lane", "1", "ce_sequence", "0")...), err: "attribute sequence",
			check: func(m tidings.Message) bool { return m.Stamp == tidings.Stamp{} }},
		{name: "bad attribute name", record: foreign("x", ce("ce_my-name", "1", "ce_ok", "1")...), err: "attribute name",
			check: func(m tidings.Message) bool { return m.Headers["ok"] == "1" }},
		{name: "not UTF-8", record: foreign("x", ce("ce_subject", "\xff")...), err: "attribute subject",
			check: func(m tidings.Message) bool { return m.Subject == "" && m.Type == "T" }},
		{name: "source too long", record: foreign("x", "ce_type", "T", "ce_source", strings.Repeat("s", tidings.MaxName+1)), err: "attribute source",
			check: func(m tidings.Message) bool { return m.Source == "" }},
		{name: "type with a space", record: foreign("x", "ce_type", "a b"), err: "attribute type", check: func(m tidings.Message) bool { return m.Type == "" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, err := broker.KafkaCloudEvents().Decode(tt.record)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if m.Channel != "orders" || string(m.Payload) != "x" || !tt.check(m) {
				t.Fatalf("wrong message %+v", m)
			}
		})
	}
}

func TestDecodeKeys(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", tidings.MaxKey+1)
	for key, want := range map[string]string{
		"order-1":              "order-1",
		"\x00\x00\x00\x07":     "0x00000007",
		long:                   "sha256:",
		"1":                    "", // the id: the record of a message without a key
		strings.Repeat("k", 9): "kkkkkkkkk",
	} {
		r := foreign("x", "ce_id", "1", "ce_type", "T")
		r.Key = key
		m, err := broker.KafkaCloudEvents().Decode(r)
		if err != nil || !strings.HasPrefix(m.Key, want) || want == "" && m.Key != "" {
			t.Errorf("record key %.20q: message key %q, error %v; want %q", key, m.Key, err, want)
		}
	}
}

func TestDecodeStructured(t *testing.T) {
	t.Parallel()
	const kind = "application/cloudevents+json; charset=UTF-8"
	full := `{"specversion":"1.0","id":"7","source":"orders","type":"T","time":"2026-05-06T07:08:09Z","partitionkey":"p",` +
		`"tenant":7,"urgent":true,"gone":null,"lane":4,"epoch":"e","sequence":"0000000000000000012","data":{"a": 1}}`
	tests := []struct {
		name, codec, contentType, body string
		payload, err                   string
		check                          func(m tidings.Message) bool
	}{
		{name: "whole", codec: "kafka", contentType: kind, body: full, payload: `{"a": 1}`, check: func(m tidings.Message) bool {
			return m.ID == "7" && m.Key == "p" && m.Headers["tenant"] == "7" && m.Headers["urgent"] == "true" && len(m.Headers) == 2 &&
				m.Stamp == tidings.Stamp{Epoch: "e", Lane: 4, Sequence: 12} && m.ContentType == "application/json"
		}},
		{name: "NATS without a content type", codec: "nats", body: full, payload: `{"a": 1}`, check: func(m tidings.Message) bool { return m.ID == "7" }},
		{name: "NATS with a content type", codec: "nats", contentType: kind, body: full, payload: `{"a": 1}`, check: func(m tidings.Message) bool { return m.ID == "7" }},
		{name: "text", codec: "kafka", contentType: kind, payload: "hi", body: `{"specversion":"1.0","id":"7","source":"s","type":"T","datacontenttype":"text/plain","data":"hi"}`},
		{name: "JSON string", codec: "kafka", contentType: kind, payload: `"hi"`, body: `{"specversion":"1.0","id":"7","source":"s","type":"T","data":"hi"}`},
		{name: "bytes", codec: "kafka", contentType: kind, payload: "\x00\x01", body: `{"specversion":"1.0","id":"7","source":"s","type":"T","datacontenttype":"a/b","data_base64":"AAE="}`},
		{name: "no data", codec: "kafka", contentType: kind, body: `{"specversion":"1.0","id":"7","source":"s","type":"T"}`},
		{name: "bad base64", codec: "kafka", contentType: kind, err: "base64", body: `{"specversion":"1.0","id":"7","source":"s","type":"T","data_base64":"?"}`},
		{name: "object as attribute", codec: "kafka", contentType: kind, err: "attribute x", body: `{"specversion":"1.0","id":"7","source":"s","type":"T","x":{}}`},
		{name: "not JSON", codec: "kafka", contentType: kind, err: "not a JSON object", body: `[`, payload: `[`},
		{name: "another format", codec: "kafka", contentType: "application/cloudevents+avro", err: "cannot be read", body: `x`, payload: `x`},
		{name: "batch", codec: "kafka", contentType: "application/cloudevents-batch+json", err: "cannot be read", body: `[]`, payload: `[]`},
		{name: "only looks like one", codec: "nats", err: "no CloudEvents type", body: `{"specversion":"1.0"}`, payload: `{"specversion":"1.0"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := foreign(tt.body)
			if tt.contentType != "" {
				r.Headers = []broker.Header{{Name: "Content-Type", Value: tt.contentType}}
			}
			m, err := codecs[tt.codec].Decode(r)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if string(m.Payload) != tt.payload || tt.check != nil && !tt.check(m) {
				t.Fatalf("wrong message %+v with payload %q", m, m.Payload)
			}
		})
	}
}

func TestDecodePercent(t *testing.T) {
	t.Parallel()
	for wire, want := range map[string]string{
		"Euro%20%E2%82%AC%20%F0%9F%98%80": "Euro € 😀",
		"lower%e2%82%ac":                  "lower€",
		"100%":                            "100%",
		"50%zz":                           "50%zz",
		`"quoted \"text\""`:               `quoted "text"`,
		"plain":                           "plain",
	} {
		m, err := codecs["nats"].Decode(foreign("x", "ce-type", "T", "ce-id", "1", "ce-subject", wire))
		if err != nil || m.Subject != want {
			t.Errorf("%q decodes to %q, %v; want %q", wire, m.Subject, err, want)
		}
	}
	if _, err := codecs["nats"].Decode(foreign("x", "ce-type", "T", "ce-id", "1", "ce-subject", "%C0%A0")); err == nil {
		t.Error("an overlong encoding is accepted")
	}
}

func TestErrNoType(t *testing.T) {
	t.Parallel()
	if _, err := codecs["kafka"].Decode(foreign("x")); !errors.Is(err, broker.ErrNoType) {
		t.Fatalf("error %v, want ErrNoType", err)
	}
}

// FuzzDecodeCloudEvents looks for records that break the decoder, or that it
// turns into messages which claim to be valid and are not, or which change
// when they are sent on.
func FuzzDecodeCloudEvents(f *testing.F) {
	f.Add("ce_id", "1", "ce_type", "T", "ce_time", "2026-05-06T07:08:09Z", "key", []byte("{}"))
	f.Add("ce-epoch", "e", "ce-lane", "1", "ce-sequence", "01", "", []byte("{}"))
	f.Add("content-type", "application/cloudevents+json", "ce_type", "T", "x", "%41", "k", []byte(`{"specversion":"1.0","type":"T","id":"1","data":1}`))
	f.Add("a", "", "b", "", "c", "", "\xff", []byte(`{"specversion":"1.0","type":"T","data_base64":"AA=="}`))
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2, n3, v3, key string, value []byte) {
		for name, codec := range codecs {
			r := broker.Record{
				Channel: "orders", Key: key, Value: value, Position: "orders/0/1", Time: time.Unix(1, 0),
				Headers: []broker.Header{{Name: n1, Value: v1}, {Name: n2, Value: v2}, {Name: n3, Value: v3}},
			}
			m, err := codec.Decode(r)
			if m.Channel != "orders" || m.ID == "" || m.Time.IsZero() {
				t.Fatalf("%s: message without channel, id or time: %+v, %v", name, m, err)
			}
			if err != nil {
				// Everything but a missing type is fit to be stored.
				if m.Type == "" {
					m.Type = "T"
				}
				if err := m.Validate(); err != nil {
					t.Fatalf("%s: kept an invalid field: %v", name, err)
				}
				continue
			}
			if err := m.Validate(); err != nil {
				t.Fatalf("%s: decoded an invalid message: %v", name, err)
			}
			if m.Source == "" {
				m.Source = "s"
			}
			again, err := codec.Encode(&m)
			if err != nil {
				continue // an envelope's content type cannot be sent on
			}
			back, err := codec.Decode(again)
			if err != nil {
				t.Fatalf("%s: sent on, it cannot be read: %v", name, err)
			}
			requireSame(t, back, m)
		}
	})
}
