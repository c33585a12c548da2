package kafka

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"tidings.example/broker"
)

// Records of one memory do not share bytes, whatever their sizes, and nothing of
// them is left when the memory is used again.
func TestMemory(t *testing.T) {
	t.Parallel()
	text := rapid.StringOfN(rapid.RuneFrom([]rune("ab")), 0, 700, -1)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "messages")
		m := newMemory(n)
		want := make([]broker.Record, n)
		for i := range n {
			r := broker.Record{Channel: fmt.Sprint(i), Key: text.Draw(t, "key"), Value: []byte{byte(i)}}
			for range rapid.IntRange(0, 30).Draw(t, "headers") {
				r.Headers = append(r.Headers, broker.Header{Name: text.Draw(t, "name"), Value: text.Draw(t, "value")})
			}
			want[i] = r
			m.fill(&m.messages[i].record, &r, time.Unix(int64(i), 0))
		}
		for i := range n {
			same(t, &m.messages[i].record, &want[i])
			// Whoever appended to one would not touch the next.
			_ = append(m.messages[i].record.Key, "tail"...)
			_ = append(m.messages[i].record.Headers, kgo.RecordHeader{Key: "tail"})
		}
		for i := range n {
			same(t, &m.messages[i].record, &want[i])
		}
		messages := m.messages
		m.recycle()
		for i := range messages {
			if o := &messages[i]; o.record.Topic != "" || o.record.Headers != nil || o.call != nil || o.reported.Load() {
				t.Fatalf("message %d of the used memory is %+v", i, &o.record)
			}
		}
	})
}

func same(t *rapid.T, got *kgo.Record, want *broker.Record) {
	if got.Topic != want.Channel || string(got.Key) != want.Key || string(got.Value) != string(want.Value) || len(got.Headers) != len(want.Headers) {
		t.Fatalf("record is %+v, want %+v", got, want)
	}
	for i, h := range got.Headers {
		if h.Key != want.Headers[i].Name || string(h.Value) != want.Headers[i].Value {
			t.Fatalf("header %d is %s: %s, want %v", i, h.Key, h.Value, want.Headers[i])
		}
	}
}
