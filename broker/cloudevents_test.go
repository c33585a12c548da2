package broker_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidings.example"
	"tidings.example/broker"
)

var update = flag.Bool("update", false, "write the golden files anew")

var codecs = map[string]broker.Codec{"kafka": broker.KafkaCloudEvents(), "nats": broker.NATSCloudEvents()}

func sample() tidings.Message {
	return tidings.Message{
		ID: "0199a3b4-7c11-7d2e-8a7a-5f1d2b3c4d5e", Source: "orders", Channel: "orders.events", Key: "order-17",
		Type: "OrderCreated", Subject: "Zoë's order, 100% new", ContentType: "application/json",
		Time:    time.Date(2026, 3, 4, 5, 6, 7, 89_000, time.UTC),
		Headers: tidings.Headers{tidings.HeaderCorrelationID: "c-1", tidings.HeaderTraceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tenant": "7"},
		Payload: []byte(`{"total":"12.34"}`),
		Stamp:   tidings.Stamp{Epoch: "0199a3b0-0000-7000-8000-000000000001", Lane: 417, Sequence: 1042},
	}
}

// bare is a message with nothing that may be left out.
func bare() tidings.Message {
	return tidings.Message{ID: "m-1", Source: "s", Channel: "c", Type: "T", ContentType: "text/plain", Time: time.Unix(0, 0)}
}

// TestGolden keeps the bytes on the wire as they are: other programs read them.
func TestGolden(t *testing.T) {
	t.Parallel()
	for name, codec := range codecs {
		var got bytes.Buffer
		for _, m := range []tidings.Message{sample(), bare()} {
			r, err := codec.Encode(&m)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&got, "channel %s\nkey %s\n", r.Channel, r.Key)
			for _, h := range r.Headers {
				fmt.Fprintf(&got, "%s: %s\n", h.Name, h.Value)
			}
			fmt.Fprintf(&got, "value %q\n\n", r.Value)
		}
		file := "testdata/cloudevents-" + name + ".golden"
		if *update {
			if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("%s has changed; got\n%s", file, got.String())
		}
	}
}

// TestRoundTrip is the promise of a codec: what was encoded is decoded the same.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				m := genMessage(t)
				if err := m.Validate(); err != nil {
					t.Fatalf("generated an invalid message: %v", err)
				}
				r, err := codec.Encode(&m)
				if err != nil {
					t.Fatal(err)
				}
				r.Position = "elsewhere/0/0"
				got, err := codec.Decode(r)
				if err != nil {
					t.Fatal(err)
				}
				requireSame(t, got, m)
			})
		})
	}
}

func genMessage(t *rapid.T) tidings.Message {
	text := func(label string, minLen, maxLen int) string {
		r := rapid.OneOf(rapid.RuneFrom([]rune("abcXYZ019 %\"\\/é€😀")), rapid.Rune().Filter(func(r rune) bool {
			return r >= ' ' && r != 0x7f && r != '\uFFFD'
		}))
		return rapid.StringOfN(r, minLen, -1, maxLen).Draw(t, label)
	}
	m := tidings.Message{
		ID: text("id", 1, tidings.MaxID), Source: rapid.StringMatching(`[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?`).Draw(t, "source"),
		Channel: rapid.StringMatching(`[a-z0-9]([a-z0-9_-]{0,20}[a-z0-9])?`).Draw(t, "channel"),
		Key:     text("key", 0, tidings.MaxKey), Type: rapid.StringMatching(`[!-~]{1,60}`).Draw(t, "type"),
		Subject: text("subject", 0, tidings.MaxKey), ContentType: text("contenttype", 1, tidings.MaxContentType),
		Time:    time.UnixMicro(rapid.Int64Range(0, 253402300799999999).Draw(t, "time")),
		Payload: rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "payload"),
	}
	if rapid.Bool().Draw(t, "stamped") {
		m.Stamp = tidings.Stamp{
			Epoch: text("epoch", 1, tidings.MaxID), Lane: int(rapid.Int32Min(0).Draw(t, "lane")),
			Sequence: uint64(rapid.Int64Min(1).Draw(t, "sequence")),
		}
	}
	m.Headers = tidings.Headers(rapid.MapOfN(rapid.StringMatching(`[a-z0-9]{1,64}`).Filter(func(s string) bool { return !tidings.ReservedHeader(s) }),
		rapid.Custom(func(t *rapid.T) string {
			return rapid.StringOfN(rapid.RuneFrom([]rune("a0 %\"é€😀")), 0, 100, -1).Draw(t, "value")
		}), 0, 12).Draw(t, "headers"))
	return m
}

func requireSame(t interface {
	Helper()
	Errorf(string, ...any)
}, got, want tidings.Message) {
	t.Helper()
	if got.ID != want.ID || got.Source != want.Source || got.Channel != want.Channel || got.Key != want.Key || got.Type != want.Type ||
		got.Subject != want.Subject || got.ContentType != want.ContentType || !got.Time.Equal(want.Time.Truncate(time.Microsecond)) ||
		got.Stamp != want.Stamp || !maps.Equal(got.Headers, want.Headers) || !bytes.Equal(got.Payload, want.Payload) {
		t.Errorf("message changed on the wire:\n got %+v\nwant %+v", got, want)
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*tidings.Message)
		want   string
	}{
		{"no type", func(m *tidings.Message) { m.Type = "" }, "type is empty"},
		{"no source", func(m *tidings.Message) { m.Source = "" }, "source is empty"},
		{"no epoch", func(m *tidings.Message) { m.Stamp.Epoch = "" }, "no epoch"},
		{"control character", func(m *tidings.Message) { m.Headers["tenant"] = "a\r\nb" }, "control character"},
		{"negative lane", func(m *tidings.Message) { m.Stamp.Lane = -1 }, "lane"},
		{"sequence", func(m *tidings.Message) { m.Stamp.Sequence = 1 << 63 }, "sequence"},
		{"envelope", func(m *tidings.Message) { m.ContentType = "Application/CloudEvents+json" }, "content type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := sample()
			tt.change(&m)
			_, err := broker.KafkaCloudEvents().Encode(&m)
			if !errors.Is(err, tidings.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want an invalid message: ...%s...", err, tt.want)
			}
		})
	}
}

func TestPerChannel(t *testing.T) {
	t.Parallel()
	c := broker.PerChannel{Default: codecs["kafka"], Channels: map[string]broker.Codec{"other": codecs["nats"]}}
	for channel, want := range map[string]string{"other": "ce-specversion", "orders": "ce_specversion"} {
		m := sample()
		m.Channel = channel
		r, err := c.Encode(&m)
		if err != nil || r.Headers[0].Name != want {
			t.Fatalf("channel %s: first header %v, error %v; want %s", channel, r.Headers, err, want)
		}
		if got, err := c.Decode(r); err != nil || got.ID != m.ID {
			t.Fatalf("channel %s: decoded %v, %v", channel, got, err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	codec, m := broker.KafkaCloudEvents(), sample()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.Encode(&m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	codec, m := broker.KafkaCloudEvents(), sample()
	r, err := codec.Encode(&m)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.Decode(r); err != nil {
			b.Fatal(err)
		}
	}
}
