package kafka_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/broker/kafka"
)

// retained reads a channel and returns the payloads.
func retained(t *testing.T, b broker.RetainedReader, channel string, r broker.TimeRange) (x broker.Extent, payloads []string) {
	t.Helper()
	payloads = []string{}
	err := b.ReadRetained(testContext(t), channel, r, func(e broker.Extent) error { x = e; return nil }, func(r *broker.Retained) error {
		payloads = append(payloads, string(r.Message.Payload))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return x, payloads
}

func TestReadRetained(t *testing.T) {
	t.Parallel()
	b := setup(t, kafka.Config{})
	channel := b.channel(t, 1)
	start := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i := range 20 {
		r := &kgo.Record{Topic: channel, Value: fmt.Append(nil, i), Timestamp: start.Add(time.Duration(i) * time.Minute)}
		if err := b.raw.ProduceSync(testContext(t), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	numbers := func(first, last int) []string {
		all := []string{}
		for i := first; i <= last; i++ {
			all = append(all, fmt.Sprint(i))
		}
		return all
	}
	expect := func(what string, r broker.TimeRange, first, last int, trimmed bool) {
		t.Helper()
		x, got := retained(t, b, channel, r)
		if want := numbers(first, last); !slices.Equal(got, want) || x.Records != int64(len(want)) || x.Partitions != 1 || x.Trimmed[0] != trimmed {
			t.Errorf("%s: %v and %v, want %v", what, x, got, want)
		}
	}
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Minute) }
	expect("everything", broker.TimeRange{}, 0, 19, false)
	expect("since", broker.TimeRange{Since: at(5)}, 5, 19, false)
	expect("until", broker.TimeRange{Until: at(5)}, 0, 4, false)
	expect("both", broker.TimeRange{Since: at(5), Until: at(7)}, 5, 6, false)
	expect("later", broker.TimeRange{Since: at(100)}, 0, -1, false)

	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: channel, Partition: 0, At: 8})
	if answers, err := kadm.NewClient(b.raw).DeleteRecords(testContext(t), offsets); err != nil || answers.Error() != nil {
		t.Fatal(err, answers.Error())
	}
	expect("after records were removed", broker.TimeRange{}, 8, 19, true)

	stop := errors.New("enough")
	err := b.ReadRetained(testContext(t), channel, broker.TimeRange{}, func(broker.Extent) error { return nil }, func(*broker.Retained) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("the reading ended with %v", err)
	}
	ignore := func(*broker.Retained) error { return nil }
	if err := b.ReadRetained(testContext(t), "test."+tidings.NewID(), broker.TimeRange{}, func(broker.Extent) error { return nil }, ignore); !errors.Is(err, broker.ErrNoChannel) {
		t.Errorf("an absent channel: %v", err)
	}
}

// TestReadRetainedSurvivesCuts: a reading goes on where the connection was lost.
func TestReadRetainedSurvivesCuts(t *testing.T) {
	t.Parallel()
	b := setup(t, kafka.Config{})
	channel := b.channel(t, 4)
	const n = 20_000
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Topic: channel, Key: fmt.Append(nil, i), Value: make([]byte, 500)}
	}
	if err := b.raw.ProduceSync(testContext(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	last, count := map[int]int64{}, 0
	err := b.ReadRetained(testContext(t), channel, broker.TimeRange{}, func(broker.Extent) error { return nil }, func(r *broker.Retained) error {
		if next := last[r.Partition]; r.Offset != next {
			t.Errorf("offset %d of partition %d came in place of %d", r.Offset, r.Partition, next)
		}
		last[r.Partition] = r.Offset + 1
		if count++; count == n/10 || count == n/2 {
			b.Interrupt(t)
		}
		return nil
	})
	if err != nil || count != n {
		t.Errorf("%d records were read: %v", count, err)
	}
}
