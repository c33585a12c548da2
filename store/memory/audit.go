package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/relay"
)

var _ admin.Auditor = (*Admin)(nil)

// Numbered returns what the relay of this database's outbox has numbered. Only
// the current epoch is remembered.
func (a *Admin) Numbered(context.Context) (admin.Numbered, error) {
	a.db.mu.Lock()
	defer a.db.mu.Unlock()
	l := &a.db.lease
	n := admin.Numbered{Source: l.source, Epoch: l.epoch, Lanes: l.lanes, Counters: map[string][]uint64{}}
	if l.epoch != "" {
		n.Epochs = []admin.EpochRecord{{Name: l.epoch, Lanes: l.lanes, OpenedAt: time.Unix(0, 0).UTC()}}
	}
	for channel, encoded := range l.counters {
		counters, err := relay.DecodeCounters(encoded)
		if err != nil {
			return admin.Numbered{}, fmt.Errorf("counters of channel %q: %w", channel, err)
		}
		n.Counters[channel] = counters
	}
	for _, p := range l.plans {
		positions, err := relay.DecodePositions(p.Positions)
		if err != nil {
			return admin.Numbered{}, fmt.Errorf("plan %d: %w", p.ID, err)
		}
		n.Planned += int64(len(positions))
	}
	for _, done := range a.db.audit {
		if done.Did == "discard set-aside row" {
			n.Discarded++
		}
	}
	return n, nil
}

// Handled returns what a subscriber has handled of a source's messages. What was
// discarded is that of all subscribers: the audit records here do not tell whose.
func (a *Admin) Handled(_ context.Context, subscriber, source string) (admin.Handled, error) {
	a.db.mu.Lock()
	defer a.db.mu.Unlock()
	var h admin.Handled
	for key, state := range a.db.lanes {
		if key.subscriber != subscriber || key.lane.Source != source {
			continue
		}
		l := admin.HandledLane{Lane: key.lane, Last: state.Last, Gaps: state.Gaps, Late: state.Late}
		for _, hole := range state.Holes {
			span := admin.Span{First: hole.First, Last: hole.Last}
			if hole.Before {
				l.Before = append(l.Before, span)
			} else {
				l.Holes = append(l.Holes, span)
			}
		}
		h.Lanes = append(h.Lanes, l)
	}
	for _, done := range a.db.audit {
		if done.Did == "discard parked message" && done.Was != nil && done.Was.Source == source {
			m := done.Was
			h.Discarded = append(h.Discarded, admin.DiscardedMessage{ID: m.ID, Sequence: m.Stamp.Sequence,
				Lane: tidings.Lane{Source: m.Source, Epoch: m.Stamp.Epoch, Channel: m.Channel, N: m.Stamp.Lane}})
		}
	}
	return h, nil
}

// Subscribers names all subscribers that have an inbox in this database.
func (a *Admin) Subscribers(context.Context) ([]string, error) {
	a.db.mu.Lock()
	defer a.db.mu.Unlock()
	var names []string
	for key := range a.db.lanes {
		if !slices.Contains(names, key.subscriber) {
			names = append(names, key.subscriber)
		}
	}
	slices.Sort(names)
	return names, nil
}
