package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example/broker"
)

var _ broker.RetainedReader = (*Broker)(nil)

// retainedWait is how long a partition without an answer may keep the end of a
// reading waiting, until the ends are asked for again.
const retainedWait = 2 * time.Second

// ReadRetained implements [broker.RetainedReader]. It reads without a consumer
// group, and only what is committed, as a subscription does.
func (b *Broker) ReadRetained(ctx context.Context, channel string, r broker.TimeRange, extent func(broker.Extent) error, record func(*broker.Retained) error) error {
	if err := b.readRetained(ctx, channel, r, extent, record); err != nil {
		return fmt.Errorf("read what Kafka retains of channel %s: %w", channel, err)
	}
	return nil
}

// A stretch is what is to be read of one partition: from next up to end.
type stretch struct {
	next, end int64
}

func (b *Broker) readRetained(ctx context.Context, channel string, r broker.TimeRange, extent func(broker.Extent) error, record func(*broker.Retained) error) error {
	starts, ends, err := b.bounds(ctx, channel, r)
	if err != nil {
		return err
	}
	x := broker.Extent{Partitions: len(starts), Trimmed: make([]bool, len(starts))}
	left := map[int32]*stretch{}
	from := map[int32]kgo.Offset{}
	for p, start := range starts {
		x.Trimmed[p] = start.oldest > 0
		if end := ends[p]; end > start.from {
			x.Records += end - start.from
			left[p] = &stretch{next: start.from, end: end}
			from[p] = kgo.NewOffset().At(start.from)
		}
	}
	if err := extent(x); err != nil || len(left) == 0 {
		return err
	}
	client, err := kgo.NewClient(b.options(
		kgo.AlwaysRetryEOF(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{channel: from}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond),
		// What is fetched is compressed, and may be many times as large in memory.
		kgo.FetchMaxBytes(1<<20),
		kgo.FetchMaxPartitionBytes(256<<10),
		kgo.MaxConcurrentFetches(1),
		// Where a transaction's markers, or records that it took back, are all that
		// is left, this is what tells that the end was reached.
		kgo.KeepControlRecords(),
	)...)
	if err != nil {
		return fmt.Errorf("configure client: %w", err)
	}
	defer client.Close()
	return b.readStretches(ctx, client, channel, left, record)
}

func (b *Broker) readStretches(ctx context.Context, client *kgo.Client, channel string, left map[int32]*stretch, record func(*broker.Retained) error) error {
	jumped := map[int32]int64{}
	for len(left) > 0 {
		polled, cancel := context.WithTimeout(ctx, retainedWait)
		fetches := client.PollRecords(polled, 5000)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, e := range fetches.Errors() {
			if errors.Is(e.Err, kerr.UnknownTopicOrPartition) || permanent(e.Err) {
				return e.Err
			}
		}
		var failed error
		fetches.EachRecord(func(from *kgo.Record) {
			s := left[from.Partition]
			if failed != nil || s == nil {
				return
			}
			if from.Offset >= s.end {
				b.finished(client, channel, from.Partition, left)
				return
			}
			if from.Offset > s.next {
				jumped[from.Partition] = from.Offset
			}
			s.next = from.Offset + 1
			if !from.Attrs.IsControl() {
				m, err := b.decode(from)
				failed = record(&broker.Retained{Partition: int(from.Partition), Offset: from.Offset, Stored: from.Timestamp, Message: m, Err: err})
			}
			if s.next >= s.end {
				b.finished(client, channel, from.Partition, left)
			}
		})
		if failed != nil {
			return failed
		}
		if fetches.NumRecords() == 0 {
			if err := b.emptied(ctx, channel, left); err != nil {
				return err
			}
		}
	}
	return b.overtaken(ctx, channel, jumped)
}

// finished stops reading a partition.
func (b *Broker) finished(client *kgo.Client, channel string, p int32, left map[int32]*stretch) {
	delete(left, p)
	client.PauseFetchPartitions(map[string][]int32{channel: {p}})
}

// emptied forgets partitions of which nothing is left to be read: compaction, or
// retention, has removed the last records.
func (b *Broker) emptied(ctx context.Context, channel string, left map[int32]*stretch) error {
	offsets, err := b.admin.ListStartOffsets(ctx, channel)
	if err != nil {
		return nil // asked again after the next silence
	}
	for p, s := range left {
		if o, ok := offsets.Lookup(channel, p); ok && o.Err == nil && o.Offset >= s.end {
			return fmt.Errorf("partition %d begins at %d now and was read to %d: %w", p, o.Offset, s.next, broker.ErrOvertaken)
		}
	}
	return nil
}

// overtaken tells whether what was not there to be read was there before.
func (b *Broker) overtaken(ctx context.Context, channel string, jumped map[int32]int64) error {
	if len(jumped) == 0 {
		return nil
	}
	offsets, err := b.admin.ListStartOffsets(ctx, channel)
	if err != nil {
		return fmt.Errorf("ask for the first offsets: %w", err)
	}
	for p, at := range jumped {
		if o, ok := offsets.Lookup(channel, p); ok && o.Offset >= at {
			return fmt.Errorf("partition %d begins at %d now: %w", p, o.Offset, broker.ErrOvertaken)
		}
	}
	return nil
}

// A start is where a partition begins, and where the reading of it does.
type start struct{ oldest, from int64 }

// bounds asks where the partitions begin and end.
func (b *Broker) bounds(ctx context.Context, channel string, r broker.TimeRange) (map[int32]start, map[int32]int64, error) {
	ends, err := listed(b.admin.ListCommittedOffsets(ctx, channel))
	if err != nil {
		return nil, nil, err
	}
	oldest, err := listed(b.admin.ListStartOffsets(ctx, channel))
	if err != nil {
		return nil, nil, err
	}
	since, until := map[int32]int64{}, map[int32]int64{}
	if !r.Since.IsZero() {
		if since, err = listed(b.admin.ListOffsetsAfterMilli(ctx, r.Since.UnixMilli(), channel)); err != nil {
			return nil, nil, err
		}
	}
	if !r.Until.IsZero() {
		if until, err = listed(b.admin.ListOffsetsAfterMilli(ctx, r.Until.UnixMilli(), channel)); err != nil {
			return nil, nil, err
		}
	}
	starts := make(map[int32]start, len(oldest))
	for p, first := range oldest {
		starts[p] = start{oldest: first, from: max(first, since[p])}
		if end, ok := until[p]; ok {
			ends[p] = min(ends[p], end)
		}
	}
	return starts, ends, nil
}

// listed returns the offsets of the one topic that was asked for.
func listed(all kadm.ListedOffsets, err error) (map[int32]int64, error) {
	if err == nil {
		err = all.Error()
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil, fmt.Errorf("there is no such topic: %w", broker.ErrNoChannel)
	}
	if err != nil {
		return nil, fmt.Errorf("ask for offsets: %w", err)
	}
	offsets := map[int32]int64{}
	all.Each(func(o kadm.ListedOffset) { offsets[o.Partition] = o.Offset })
	var numbers []int32
	for p := range offsets {
		numbers = append(numbers, p)
	}
	slices.Sort(numbers)
	for i, p := range numbers {
		if int(p) != i {
			return nil, fmt.Errorf("partition %d is missing from the answer", i)
		}
	}
	if len(offsets) == 0 {
		return nil, fmt.Errorf("there is no such topic: %w", broker.ErrNoChannel)
	}
	return offsets, nil
}
