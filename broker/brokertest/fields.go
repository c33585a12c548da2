package brokertest

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"tidings.example"
	"tidings.example/broker"
)

// fields sends messages with every field at its edges and compares all of them.
func fields(t *testing.T, b Broker) {
	ch := channel(t, b)
	var binary [256]byte
	for i := range binary {
		binary[i] = byte(i)
	}
	with := func(change func(m *tidings.Message)) *tidings.Message {
		m := message(ch, "k", 1)
		change(m)
		return m
	}
	ms := []*tidings.Message{
		with(func(m *tidings.Message) {}),
		with(func(m *tidings.Message) { m.Key = "" }),
		with(func(m *tidings.Message) { m.ID = "not a uuid / 100% \"quoted\" é" }),
		with(func(m *tidings.Message) { m.Source = "orders.eu-1_a" }),
		with(func(m *tidings.Message) { m.Type = "com.example/Order#Created;v=1%20" }),
		with(func(m *tidings.Message) { m.Key = "Zürich 東京 🚀 %41 \"\\" }),
		with(func(m *tidings.Message) { m.Key = strings.Repeat("k", tidings.MaxKey) }),
		with(func(m *tidings.Message) { m.Subject = "Zürich 東京 🚀" }),
		with(func(m *tidings.Message) { m.Subject = "another"; m.Key = "" }),
		with(func(m *tidings.Message) { m.ContentType = "application/json; charset=utf-8" }),
		with(func(m *tidings.Message) { m.Time = m.Time.Truncate(1e9) }),
		with(func(m *tidings.Message) { m.Payload = nil }),
		with(func(m *tidings.Message) { m.Payload = []byte{} }),
		with(func(m *tidings.Message) { m.Payload = binary[:] }),
		with(func(m *tidings.Message) { m.Payload = bytes.Repeat([]byte("x"), 200<<10) }),
		with(func(m *tidings.Message) {
			m.Headers = tidings.Headers{
				tidings.HeaderCorrelationID: "c1",
				tidings.HeaderCausationID:   "c0",
				tidings.HeaderTraceparent:   "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
				"plain":                     " leading, \"quoted\" and trailing ",
				"unicode":                   "Zürich 東京 🚀 100%",
				"x1":                        "=;,:",
				"long":                      strings.Repeat("v", tidings.MaxHeaderValue),
			}
		}),
		with(func(m *tidings.Message) { m.Stamp = tidings.Stamp{Epoch: "e1", Lane: 0, Sequence: 1} }),
		with(func(m *tidings.Message) {
			m.Stamp = tidings.Stamp{Epoch: tidings.NewID(), Lane: 959, Sequence: 1<<63 - 1}
		}),
	}
	want := map[string]*tidings.Message{}
	for _, m := range ms {
		if err := m.Validate(); err != nil {
			t.Fatalf("the suite's own message: %v", err)
		}
		if err := b.Check(testContext(t), m); err != nil {
			t.Fatalf("Check refuses %+v: %v", m, err)
		}
		want[m.ID] = m
	}
	publish(t, b, ms...)
	sub := subscribe(t, b, broker.Subscription{Subscriber: subscriberName(), Channels: []string{ch}}, nil)
	for _, d := range sub.waitAll(t, ms) {
		if d.Err != nil {
			t.Errorf("delivered with error: %v", d.Err)
			continue
		}
		compare(t, &d.Message, want[d.Message.ID])
	}
}

func compare(t *testing.T, got, want *tidings.Message) {
	t.Helper()
	if want == nil {
		t.Errorf("delivered a message with the unknown id %q", got.ID)
		return
	}
	for _, f := range []struct{ name, got, want string }{
		{"Source", got.Source, want.Source},
		{"Channel", got.Channel, want.Channel},
		{"Key", got.Key, want.Key},
		{"Type", got.Type, want.Type},
		{"Subject", got.Subject, want.Subject},
		{"ContentType", got.ContentType, want.ContentType},
		{"Payload", string(got.Payload), string(want.Payload)},
		{"Stamp.Epoch", got.Stamp.Epoch, want.Stamp.Epoch},
	} {
		if f.got != f.want {
			t.Errorf("message %q: %s is %.80q, want %.80q", want.ID, f.name, f.got, f.want)
		}
	}
	if got.Stamp.Lane != want.Stamp.Lane || got.Stamp.Sequence != want.Stamp.Sequence {
		t.Errorf("message %q: stamp %+v, want %+v", want.ID, got.Stamp, want.Stamp)
	}
	if !got.Time.Equal(want.Time) {
		t.Errorf("message %q: time %v, want %v", want.ID, got.Time, want.Time)
	}
	if !maps.Equal(got.Headers, want.Headers) {
		t.Errorf("message %q: headers %.300q, want %.300q", want.ID, got.Headers, want.Headers)
	}
}

// undecodable puts a record without headers between two messages.
func undecodable(t *testing.T, b Broker) {
	raw, ok := b.(RawPublisher)
	if !ok {
		t.Log("the broker offers no way to publish a raw record")
		return
	}
	ch := channel(t, b)
	ms := []*tidings.Message{message(ch, "k", 0), message(ch, "k", 1)}
	publish(t, b, ms[0])
	if err := raw.PublishRaw(testContext(t), ch, []byte("not a message")); err != nil {
		t.Fatalf("publish raw record: %v", err)
	}
	publish(t, b, ms[1])
	name := subscriberName()
	s := broker.Subscription{Subscriber: name, Channels: []string{ch}}
	sub := subscribe(t, b, s, nil)
	bad := 0
	for _, d := range sub.waitCount(t, 3) {
		if d.Err == nil {
			continue
		}
		bad++
		if d.Message.Channel != ch || string(d.Message.Payload) != "not a message" {
			t.Errorf("undecodable record has channel %q and payload %q", d.Message.Channel, d.Message.Payload)
		}
	}
	if bad != 1 {
		t.Errorf("%d deliveries with an error, want 1", bad)
	}
	// It was acknowledged like any other: a new start gets only what is new.
	sub.stop(t)
	last := message(ch, "k", 2)
	publish(t, b, last)
	again := subscribe(t, b, s, nil).waitAll(t, []*tidings.Message{last})
	if len(again) != 1 {
		t.Errorf("after acknowledging everything, delivered%s", summary(again))
	}
}
