package audit

import (
	"slices"

	"tidings.example/admin"
)

// subscriber compares what a subscriber has handled with what its channels hold.
func (e *Evidence) subscriber(s *Subscribed, r *Report) {
	report := SubscriberReport{Subscriber: s.Name, Parked: s.Parked, ParkedTotal: s.ParkedTotal}
	first, now := byLane(s.First), byLane(s.Now)
	for _, l := range e.Channels {
		if !follows(s, l.Channel) {
			continue
		}
		report.Channels = append(report.Channels, l.Channel)
		for _, id := range e.lanesOf(l, first, now) {
			k := laneOfChannel{l.Channel, id}
			f, n := first[k], now[k]
			e.handledLane(l, id, s.Name, &f, &n, r)
			report.count(l.Channel, id, &n)
		}
	}
	for _, d := range s.Now.Discarded {
		if slices.Contains(report.Channels, d.Lane.Channel) {
			report.Discarded = append(report.Discarded, d)
		}
	}
	r.Subscribers = append(r.Subscribers, report)
}

func (r *SubscriberReport) count(channel string, id LaneID, l *admin.HandledLane) {
	r.Handled += handled(l).Count()
	r.Missing += Spans(l.Holes).Count()
	r.Before += Spans(l.Before).Count()
	r.Gaps += l.Gaps
	r.Late += l.Late
	if l.Last > 0 {
		r.Lanes = append(r.Lanes, HandledLane{Channel: channel, Lane: id, Last: l.Last, Holes: l.Holes})
	}
}

// handledLane compares one lane. What was handled before the channel's end was
// asked for must be in the channel; what the channel holds must be handled now.
func (e *Evidence) handledLane(l *Ledger, id LaneID, subscriber string, first, now *admin.HandledLane, r *Report) {
	present := l.present(id)
	add := func(kind Kind, numbers Spans, detail string) {
		for _, span := range numbers {
			r.add(Difference{Kind: kind, Channel: l.Channel, Subscriber: subscriber, Lane: id, First: span.First, Last: span.Last, Detail: detail})
		}
	}
	waiting := present.Without(handled(now)).Without(now.Before)
	skipped := waiting.Within(now.Holes)
	add(Unhandled, skipped, "a hole: later messages of the lane were handled")
	add(Unhandled, waiting.Without(skipped), "not handled yet")
	from, ok := l.wholeFrom(id, e.Ranged)
	if !ok || e.Cut && len(present) == 0 {
		return
	}
	known := handled(first)
	if e.Cut {
		known = known.Within(between(1, present.Last()))
	}
	add(Phantom, known.Within(between(from, known.Last())).Without(present), "handled, and not in the channel")
}

// handled is all numbers that a subscriber has handled or parked.
func handled(l *admin.HandledLane) Spans {
	return between(1, l.Last).Without(l.Before).Without(l.Holes)
}

type laneOfChannel struct {
	channel string
	id      LaneID
}

func byLane(h admin.Handled) map[laneOfChannel]admin.HandledLane {
	lanes := make(map[laneOfChannel]admin.HandledLane, len(h.Lanes))
	for _, l := range h.Lanes {
		lanes[laneOfChannel{l.Lane.Channel, LaneID{l.Lane.Epoch, l.Lane.N}}] = l
	}
	return lanes
}

// follows tells whether a subscriber has ever got anything of a channel.
func follows(s *Subscribed, channel string) bool {
	return slices.ContainsFunc(s.Now.Lanes, func(l admin.HandledLane) bool { return l.Lane.Channel == channel })
}

// lanesOf are the lanes that the channel or the subscriber has.
func (e *Evidence) lanesOf(l *Ledger, states ...map[laneOfChannel]admin.HandledLane) []LaneID {
	known := map[LaneID]bool{}
	for id := range l.lanes {
		known[id] = true
	}
	for _, lanes := range states {
		for k := range lanes {
			if k.channel == l.Channel {
				known[k.id] = true
			}
		}
	}
	return e.sorted(known)
}
