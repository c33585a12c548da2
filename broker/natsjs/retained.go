package natsjs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"tidings.example/broker"
)

var _ broker.RetainedReader = (*Broker)(nil)

// retainedLook is how often a reading that may wait for what is gone looks at
// its stream.
const retainedLook = 2 * time.Second

// ReadRetained implements [broker.RetainedReader]. It reads the whole stream
// through one consumer that the server forgets.
func (b *Broker) ReadRetained(ctx context.Context, channel string, r broker.TimeRange, extent func(broker.Extent) error, record func(*broker.Retained) error) error {
	if err := b.readRetained(ctx, channel, r, extent, record); err != nil {
		return fmt.Errorf("read what NATS retains of channel %s: %w", channel, err)
	}
	return nil
}

func (b *Broker) readRetained(ctx context.Context, name string, r broker.TimeRange, extent func(broker.Extent) error, each func(*broker.Retained) error) error {
	c, err := b.channels.lookUp(ctx, name)
	if missing, ok := errors.AsType[*missingError](err); ok && missing.absent {
		return fmt.Errorf("%w: %w", broker.ErrNoChannel, err)
	}
	if err != nil {
		return err
	}
	state, err := b.streamState(ctx, c)
	if err != nil {
		return err
	}
	first, last, err := b.sequences(ctx, c, state, r)
	if err != nil {
		return err
	}
	x := broker.Extent{Partitions: c.partitions, Trimmed: slices.Repeat([]bool{state.FirstSeq > 1}, c.partitions)}
	if last >= first {
		x.Records = int64(last - first + 1)
	}
	if err := extent(x); err != nil || last < first {
		return err
	}
	return b.readSequences(ctx, c, first, last, each)
}

// readSequences reads from first to last, which both are there.
func (b *Broker) readSequences(ctx context.Context, c *channel, first, last uint64, each func(*broker.Retained) error) error {
	reading, end := context.WithCancelCause(ctx)
	defer end(nil)
	stopLooking := b.lookAfter(reading, end, c, last)
	defer stopLooking()
	done, expected, jumped := errors.New("all is read"), first, uint64(0)
	prefix := strings.TrimSuffix(b.names.subjects(c.name), "*")
	err := b.reader(c.stream, b.names.subjects(c.name), first).read(reading, func(rec record) {
		if rec.sequence > expected {
			jumped = rec.sequence
		}
		if expected = rec.sequence + 1; rec.sequence <= last {
			partition, err := strconv.Atoi(strings.TrimPrefix(rec.msg.Subject(), prefix))
			if err != nil {
				return // no partition of ours
			}
			one := broker.Retained{Partition: partition, Offset: int64(rec.sequence), Stored: rec.time}
			one.Message, one.Err = b.decode(place{c.name, partition}, rec)
			if err := each(&one); err != nil {
				end(err)
				return
			}
		}
		if rec.sequence >= last {
			end(done)
		}
	})
	switch cause := context.Cause(reading); {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case cause != nil && !errors.Is(cause, done):
		return cause
	case jumped == 0:
		return nil
	}
	// A single record may be removed at any place; what is missing below the
	// stream's beginning was there when the reading began.
	state, err := b.streamState(ctx, c)
	if err == nil && state.FirstSeq > first && jumped > first {
		err = fmt.Errorf("stream %q begins at %d now: %w", c.stream, state.FirstSeq, broker.ErrOvertaken)
	}
	return err
}

// lookAfter ends a reading that waits for a record that was removed.
func (b *Broker) lookAfter(ctx context.Context, end context.CancelCauseFunc, c *channel, last uint64) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(retainedLook)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if state, err := b.streamState(ctx, c); err == nil && state.FirstSeq > last {
				end(fmt.Errorf("stream %q begins at %d now: %w", c.stream, state.FirstSeq, broker.ErrOvertaken))
				return
			}
		}
	}()
	return func() { cancel(); <-stopped }
}

func (b *Broker) stream(ctx context.Context, c *channel) (jetstream.Stream, error) {
	since := time.Now()
	s, err := b.js.Stream(ctx, c.stream)
	if err != nil {
		return nil, fmt.Errorf("look at stream %q: %w", c.stream, b.explain(err, streamInfoSubject(c.stream), since))
	}
	return s, nil
}

func (b *Broker) streamState(ctx context.Context, c *channel) (jetstream.StreamState, error) {
	ctx, cancel := b.connected.bound(ctx, requestTime)
	defer cancel()
	s, err := b.stream(ctx, c)
	if err != nil {
		return jetstream.StreamState{}, err
	}
	return s.CachedInfo().State, nil
}

// sequences returns the first and the last record to read; last is below first
// where there are none.
func (b *Broker) sequences(ctx context.Context, c *channel, state jetstream.StreamState, r broker.TimeRange) (first, last uint64, err error) {
	if state.Msgs == 0 {
		return 1, 0, nil
	}
	first, last = state.FirstSeq, state.LastSeq
	if !r.Since.IsZero() {
		if first, err = b.firstAt(ctx, c, state, r.Since); err != nil {
			return 0, 0, err
		}
	}
	if !r.Until.IsZero() {
		next, err := b.firstAt(ctx, c, state, r.Until)
		if err != nil {
			return 0, 0, err
		}
		last = next - 1
	}
	if last < first {
		return first, last, nil
	}
	// The record at last may have been removed; the reading would wait for it.
	for last >= first {
		_, found, err := b.storedFrom(ctx, c, last)
		if err != nil {
			return 0, 0, err
		}
		if found == last {
			break
		}
		last--
	}
	return first, last, nil
}

// firstAt returns the lowest sequence whose record, or the next one, was stored
// at t or later.
func (b *Broker) firstAt(ctx context.Context, c *channel, state jetstream.StreamState, t time.Time) (uint64, error) {
	low, high := state.FirstSeq, state.LastSeq+1
	for low < high {
		middle := low + (high-low)/2
		at, found, err := b.storedFrom(ctx, c, middle)
		switch {
		case err != nil:
			return 0, err
		case found == 0 || found > state.LastSeq || !at.Before(t):
			high = middle
		default:
			low = found + 1
		}
	}
	return low, nil
}

// storedFrom returns when the first record at or behind a sequence was stored;
// found is 0 where there is none.
func (b *Broker) storedFrom(ctx context.Context, c *channel, sequence uint64) (at time.Time, found uint64, err error) {
	since := time.Now()
	ctx, cancel := b.connected.bound(ctx, requestTime)
	defer cancel()
	s, err := b.stream(ctx, c)
	if err != nil {
		return time.Time{}, 0, err
	}
	m, err := s.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(b.names.subjects(c.name)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return time.Time{}, 0, nil
	}
	if err != nil {
		return time.Time{}, 0, fmt.Errorf("look for record %d: %w", sequence, b.explain(err, "$JS.API.DIRECT.GET.", since))
	}
	return m.Time, m.Sequence, nil
}
