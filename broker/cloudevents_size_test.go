package broker_test

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidings.example"
	"tidings.example/broker"
)

// plainCodec hides what a codec can do besides.
type plainCodec struct{ broker.Codec }

// What is measured is what is encoded, and records made in used memory are those
// made in fresh memory.
func TestMeasureAndEncodeIntoAgreeWithEncode(t *testing.T) {
	t.Parallel()
	all := map[string]broker.Codec{"kafka": codecs["kafka"], "nats": codecs["nats"],
		"plain":       plainCodec{codecs["kafka"]},
		"per channel": broker.PerChannel{Default: codecs["kafka"], Channels: map[string]broker.Codec{"a": codecs["nats"], "b": plainCodec{codecs["nats"]}}}}
	for name, codec := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var used broker.Record
			rapid.Check(t, func(t *rapid.T) {
				m := genMessage(t)
				if rapid.Bool().Draw(t, "short name") {
					m.Channel = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name")
				}
				if rapid.IntRange(0, 9).Draw(t, "bad") == 0 {
					m.Source = ""
				}
				want, failure := codec.Encode(&m)
				bytes, headers, err := broker.Measure(codec, &m)
				if !reflect.DeepEqual(err, failure) || bytes != want.Size() || headers != len(want.Headers) {
					t.Fatalf("measured %d bytes in %d headers, error %v; encoded %d in %d, error %v",
						bytes, headers, err, want.Size(), len(want.Headers), failure)
				}
				before := used
				err = broker.EncodeInto(codec, &used, &m)
				if failure != nil {
					want = before
				}
				if !reflect.DeepEqual(err, failure) || !reflect.DeepEqual(used, want) {
					t.Fatalf("encoded %+v, error %v; want %+v, %v", used, err, want, failure)
				}
			})
		})
	}
}

// The time attribute is what package time makes of it.
func TestTimeAttribute(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := bare()
		zone := time.FixedZone("", rapid.IntRange(-14*3600, 14*3600).Draw(t, "zone"))
		m.Time = time.Unix(rapid.Int64Range(0, 253402300799).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).In(zone)
		r, err := codecs["kafka"].Encode(&m)
		if err != nil {
			t.Fatal(err)
		}
		want := m.Time.UTC().Format("2006-01-02T15:04:05.000000Z")
		for _, h := range r.Headers {
			if h.Name == "ce_time" && h.Value == want {
				return
			}
		}
		t.Fatalf("headers are %v, want the time %s", r.Headers, want)
	})
}

func TestReusedRecordsAllocateLittle(t *testing.T) {
	codec, m := broker.KafkaCloudEvents(), sample()
	m.Headers = tidings.Headers{tidings.HeaderCorrelationID: "c-1"}
	var r broker.Record
	n := testing.AllocsPerRun(100, func() {
		if err := codec.EncodeInto(&r, &m); err != nil {
			t.Fatal(err)
		}
		if _, _, err := codec.Measure(&m); err != nil {
			t.Fatal(err)
		}
	})
	if n > 1 { // the text of time, lane and sequence
		t.Errorf("%v allocations, want 1", n)
	}
}

func BenchmarkEncodeInto(b *testing.B) {
	codec, m := broker.KafkaCloudEvents(), sample()
	var r broker.Record
	b.ReportAllocs()
	for b.Loop() {
		if err := codec.EncodeInto(&r, &m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMeasure(b *testing.B) {
	codec, m := broker.KafkaCloudEvents(), sample()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := codec.Measure(&m); err != nil {
			b.Fatal(err)
		}
	}
}
