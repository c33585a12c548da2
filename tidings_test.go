package tidings

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The values are those of Kafka's own test of its hash (UtilsTest, murmur2).
func TestHashIsKafkas(t *testing.T) {
	t.Parallel()
	want := map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	}
	for key, hash := range want {
		if got := int32(murmur2(key)); got != hash {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, hash)
		}
	}
}

// A lane must lie inside one partition, or two partitions would race in it.
func TestLaneLiesInsideOnePartition(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 16, 20, 24, 30, 32, 48, 60, 64} {
		if DefaultLanes%partitions != 0 {
			t.Fatalf("%d lanes are no multiple of %d partitions", DefaultLanes, partitions)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.String().Draw(t, "key")
		partitions := rapid.SampledFrom([]int{1, 3, 4, 12, 64}).Draw(t, "partitions")
		if byLane, byKey := LaneOf(key, DefaultLanes)%partitions, int(PositiveHash(key))%partitions; byLane != byKey {
			t.Fatalf("lane is in partition %d, key in %d", byLane, byKey)
		}
	})
}

func TestNewIDIsVersion7AndGrows(t *testing.T) {
	t.Parallel()
	ids := make([]string, 5000)
	for i := range ids {
		ids[i] = NewID()
		if id := ids[i]; len(id) != 36 || id[14] != '7' || !strings.ContainsRune("89ab", rune(id[19])) {
			t.Fatalf("%q is no UUIDv7", id)
		}
	}
	if !slices.IsSorted(ids) || len(slices.Compact(ids)) != len(ids) {
		t.Error("ids of one process do not grow")
	}
}

func TestNewIDHoldsTheTime(t *testing.T) {
	t.Parallel()
	// The example of RFC 9562, appendix A.6, without its random bits.
	got := formatV7(uint64(0x017F22E279B0)<<12|0xCC3, [8]byte{0x18, 0xC4, 0xDC, 0x0C, 0x0C, 0x07, 0x39, 0x8F})
	if want := "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func valid() Message {
	return Message{ID: NewID(), Channel: "orders", Key: "17", Type: "OrderCreated", Time: time.Now(), ContentType: "application/json"}
}

func TestValidateNamesTheField(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	for name, c := range map[string]struct {
		change func(*Message)
		field  string
	}{
		"no id":                {func(m *Message) { m.ID = "" }, "id"},
		"long id":              {func(m *Message) { m.ID = long(256) }, "id"},
		"no channel":           {func(m *Message) { m.Channel = "" }, "channel"},
		"long channel":         {func(m *Message) { m.Channel = long(201) }, "channel"},
		"space in channel":     {func(m *Message) { m.Channel = "my orders" }, "channel"},
		"wildcard in channel":  {func(m *Message) { m.Channel = "a.*" }, "channel"},
		"empty NATS token":     {func(m *Message) { m.Channel = "a..b" }, "channel"},
		"dot at the end":       {func(m *Message) { m.Channel = "a." }, "channel"},
		"no type":              {func(m *Message) { m.Type = "" }, "type"},
		"long type":            {func(m *Message) { m.Type = long(256) }, "type"},
		"newline in type":      {func(m *Message) { m.Type = "a\nb" }, "type"},
		"long key":             {func(m *Message) { m.Key = long(256) }, "key"},
		"key not UTF-8":        {func(m *Message) { m.Key = "\xff" }, "key"},
		"NUL in key":           {func(m *Message) { m.Key = "a\x00" }, "key"},
		"long subject":         {func(m *Message) { m.Subject = long(256) }, "subject"},
		"no content type":      {func(m *Message) { m.ContentType = "" }, "content type"},
		"no time":              {func(m *Message) { m.Time = time.Time{} }, "time"},
		"time before computer": {func(m *Message) { m.Time = time.Date(1, 2, 3, 4, 5, 6, 7, time.UTC) }, "time"},
		"large payload":        {func(m *Message) { m.Payload = make([]byte, MaxPayload+1) }, "payload"},
		"header in upper case": {func(m *Message) { m.Headers = Headers{"Tenant": "a"} }, "header"},
		"header without name":  {func(m *Message) { m.Headers = Headers{"": "a"} }, "header"},
		"reserved header":      {func(m *Message) { m.Headers = Headers{"sequence": "9"} }, "header"},
		"long header name":     {func(m *Message) { m.Headers = Headers{long(65): "a"} }, "header"},
		"newline in header":    {func(m *Message) { m.Headers = Headers{"tenant": "a\r\nb"} }, "header tenant"},
		"too many headers": {func(m *Message) {
			m.Headers = Headers{}
			for i := range MaxHeaders + 1 {
				m.Headers[strings.Repeat("h", i+1)] = ""
			}
		}, "headers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := valid()
			c.change(&m)
			var bad *InvalidError
			if err := m.Validate(); !errors.As(err, &bad) || bad.Field != c.field || !errors.Is(err, ErrInvalid) {
				t.Errorf("got %v, want an error about %q", err, c.field)
			}
		})
	}
	m := valid()
	m.Headers = Headers{"tenant": "a ü", HeaderCorrelationID: "1"}
	if err := m.Validate(); err != nil {
		t.Errorf("valid message: %v", err)
	}
}

func TestLaneAndCause(t *testing.T) {
	t.Parallel()
	m := valid()
	if _, ok := m.Lane(); ok {
		t.Error("a message without a stamp has a lane")
	}
	m.Source, m.Stamp = "orders-db", Stamp{Epoch: "e", Lane: 7, Sequence: 1}
	if lane, ok := m.Lane(); !ok || lane != (Lane{"orders-db", "e", "orders", 7}) {
		t.Errorf("got %v, %v", lane, ok)
	}
	if Cause(context.Background()) != nil || Cause(WithCause(context.Background(), &m)) != &m {
		t.Error("the cause does not come back")
	}
	if m.OrderingKey() != "17" {
		t.Errorf("ordering key %q", m.OrderingKey())
	}
	if m.Key = ""; m.OrderingKey() != m.ID {
		t.Errorf("ordering key without a key is %q, want the id", m.OrderingKey())
	}
}
