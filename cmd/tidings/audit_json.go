package main

import (
	"time"

	"tidings.example/internal/audit"
)

// auditJSON is what `audit --output json` prints.
type auditJSON struct {
	Source      string                `json:"source"`
	Agreed      bool                  `json:"agreed"`
	Seconds     float64               `json:"seconds"`
	Counts      map[audit.Kind]uint64 `json:"counts"`
	Differences []differenceJSON      `json:"differences"`
	// Omitted differences are counted in Counts and not listed.
	Omitted     int                   `json:"omitted"`
	Waiting     int64                 `json:"waiting"`
	SetAside    int64                 `json:"setAside"`
	Discarded   int64                 `json:"discarded"`
	Epochs      []auditEpochJSON      `json:"epochs"`
	Channels    []auditChannelJSON    `json:"channels"`
	Subscribers []auditSubscriberJSON `json:"subscribers"`
}

type differenceJSON struct {
	Kind       audit.Kind `json:"kind"`
	Channel    string     `json:"channel,omitempty"`
	Subscriber string     `json:"subscriber,omitempty"`
	Epoch      string     `json:"epoch,omitempty"`
	Lane       int        `json:"lane"`
	First      uint64     `json:"first"`
	Last       uint64     `json:"last"`
	IDs        []string   `json:"ids"`
	Detail     string     `json:"detail"`
}

type auditEpochJSON struct {
	Name     string    `json:"name"`
	Lanes    int       `json:"lanes"`
	OpenedAt time.Time `json:"openedAt"`
	Reason   string    `json:"reason"`
}

type auditChannelJSON struct {
	Channel       string          `json:"channel"`
	Partitions    int             `json:"partitions"`
	Given         uint64          `json:"given"`
	Published     uint64          `json:"published"`
	Repeated      int64           `json:"repeated"`
	EpochRepeats  int64           `json:"epochRepeats"`
	Older         uint64          `json:"older"`
	OfOthers      int64           `json:"ofOthers"`
	WithoutNumber int64           `json:"withoutNumber"`
	NoMessage     int64           `json:"noMessage"`
	OrderChecked  bool            `json:"orderChecked"`
	Lanes         []auditLaneJSON `json:"lanes"`
}

type auditLaneJSON struct {
	Epoch     string      `json:"epoch"`
	Lane      int         `json:"lane"`
	Given     uint64      `json:"given"`
	Published [][2]uint64 `json:"published"`
	Repeated  int64       `json:"repeated"`
}

type auditSubscriberJSON struct {
	Subscriber string            `json:"subscriber"`
	Channels   []string          `json:"channels"`
	Handled    uint64            `json:"handled"`
	Missing    uint64            `json:"missing"`
	Before     uint64            `json:"before"`
	Gaps       uint64            `json:"gaps"`
	Late       uint64            `json:"late"`
	Parked     int               `json:"parked"`
	ParkedList []auditParkedJSON `json:"parkedList"`
	Discarded  []auditParkedJSON `json:"discarded"`
	Lanes      []handledLaneJSON `json:"lanes"`
}

type auditParkedJSON struct {
	Message string `json:"message"`
	Channel string `json:"channel"`
	Epoch   string `json:"epoch"`
	Lane    int    `json:"lane"`
	Number  uint64 `json:"number"`
	Key     string `json:"key,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

type handledLaneJSON struct {
	Channel string      `json:"channel"`
	Epoch   string      `json:"epoch"`
	Lane    int         `json:"lane"`
	Last    uint64      `json:"last"`
	Holes   [][2]uint64 `json:"holes"`
}

func newAuditJSON(r *audit.Report) auditJSON {
	j := auditJSON{Source: r.Source, Agreed: r.Agreed(), Seconds: r.Took.Seconds(), Counts: r.Counts, Omitted: r.Omitted, Waiting: r.Waiting,
		SetAside: r.SetAside, Discarded: r.Discarded, Differences: []differenceJSON{}, Epochs: []auditEpochJSON{},
		Channels: []auditChannelJSON{}, Subscribers: []auditSubscriberJSON{}}
	for _, d := range r.Differences {
		j.Differences = append(j.Differences, differenceJSON{Kind: d.Kind, Channel: d.Channel, Subscriber: d.Subscriber, Epoch: d.Lane.Epoch,
			Lane: d.Lane.N, First: d.First, Last: d.Last, IDs: append([]string{}, d.IDs...), Detail: d.Detail})
	}
	for _, e := range r.Epochs {
		j.Epochs = append(j.Epochs, auditEpochJSON(e))
	}
	for i := range r.Channels {
		c := &r.Channels[i]
		channel := auditChannelJSON{Channel: c.Channel, Partitions: c.Partitions, Given: c.Given, Published: c.Published, Repeated: c.Repeated,
			EpochRepeats: c.EpochRepeats, Older: c.Aged, OfOthers: c.Others, WithoutNumber: c.Unnumbered, NoMessage: c.Invalid,
			OrderChecked: !c.Unordered, Lanes: []auditLaneJSON{}}
		for _, l := range c.Lanes {
			channel.Lanes = append(channel.Lanes, auditLaneJSON{l.Lane.Epoch, l.Lane.N, l.Given, pairs(l.Published), l.Repeated})
		}
		j.Channels = append(j.Channels, channel)
	}
	for i := range r.Subscribers {
		j.Subscribers = append(j.Subscribers, newAuditSubscriberJSON(&r.Subscribers[i]))
	}
	return j
}

func newAuditSubscriberJSON(s *audit.SubscriberReport) auditSubscriberJSON {
	j := auditSubscriberJSON{Subscriber: s.Subscriber, Channels: append([]string{}, s.Channels...), Handled: s.Handled, Missing: s.Missing,
		Before: s.Before, Gaps: s.Gaps, Late: s.Late, Parked: s.ParkedTotal,
		ParkedList: []auditParkedJSON{}, Discarded: []auditParkedJSON{}, Lanes: []handledLaneJSON{}}
	for _, p := range s.Parked {
		j.ParkedList = append(j.ParkedList, auditParkedJSON{p.Message, p.Channel, p.Lane.Epoch, p.Lane.N, p.Sequence, p.Key, p.Reason})
	}
	for _, d := range s.Discarded {
		j.Discarded = append(j.Discarded, auditParkedJSON{Message: d.ID, Channel: d.Lane.Channel, Epoch: d.Lane.Epoch, Lane: d.Lane.N, Number: d.Sequence})
	}
	for _, l := range s.Lanes {
		j.Lanes = append(j.Lanes, handledLaneJSON{l.Channel, l.Lane.Epoch, l.Lane.N, l.Last, pairs(l.Holes)})
	}
	return j
}

func pairs(s audit.Spans) [][2]uint64 {
	all := [][2]uint64{}
	for _, span := range s {
		all = append(all, [2]uint64{span.First, span.Last})
	}
	return all
}
