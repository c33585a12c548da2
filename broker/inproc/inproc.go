// Package inproc is a broker inside the process, for tests. It keeps the whole
// contract of package broker: partitions, members that share them, positions
// that outlive a subscription, redelivery in order. Nothing is kept beyond the
// process.
//
// Faults can be ordered: [Broker.FailNext], [Broker.HoldAcks], [Broker.Cut],
// [Broker.Rebalance] stay within the contract, so that callers can be tested
// against what it allows; [Broker.Disturb] breaks it, to test an inbox.
package inproc

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"tidings.example"
	"tidings.example/broker"
)

// Config has the rare settings; its zero value is right for most tests.
type Config struct {
	// Partitions is the number of partitions of each channel. Default 4.
	Partitions int
	// MaxMessage bounds a message's payload and headers together, in bytes.
	// Default 1 MiB.
	MaxMessage int
}

// A Broker holds messages in memory. Channels come to be when they are first
// used.
type Broker struct {
	partitions int
	maxMessage int

	// publishing is held while messages are stored and while done is called,
	// and taken before mu.
	publishing sync.Mutex

	mu       sync.Mutex
	stored   uint64 // number of records, over all channels
	channels map[string][]*partition
	groups   map[string]*group
	faults   faults
}

var (
	_ broker.Publisher  = (*Broker)(nil)
	_ broker.Subscriber = (*Broker)(nil)
)

// New returns an empty broker.
func New(c Config) *Broker {
	if c.Partitions <= 0 {
		c.Partitions = 4
	}
	if c.MaxMessage <= 0 {
		c.MaxMessage = 1 << 20
	}
	return &Broker{
		partitions: c.Partitions,
		maxMessage: c.MaxMessage,
		channels:   map[string][]*partition{},
		groups:     map[string]*group{},
		faults:     faults{failing: map[lane]int{}, calls: map[*call]bool{}},
	}
}

// A partition is a log of records; records never change once appended.
type partition struct {
	records []record
	// more is closed, and replaced, when records are appended.
	more chan struct{}
}

type record struct {
	order   uint64 // place among all records of the broker
	message tidings.Message
	err     error
}

// channel returns the channel's partitions. b.mu is held.
func (b *Broker) channel(name string) []*partition {
	if ps := b.channels[name]; ps != nil {
		return ps
	}
	ps := make([]*partition, b.partitions)
	for i := range ps {
		ps[i] = &partition{more: make(chan struct{})}
	}
	b.channels[name] = ps
	return ps
}

// store appends a record to the partition of an ordering key. b.mu is held.
func (b *Broker) store(orderingKey string, r record) {
	ps := b.channel(r.message.Channel)
	p := ps[tidings.LaneOf(orderingKey, len(ps))]
	b.stored++
	r.order = b.stored
	p.records = append(p.records, r)
	close(p.more)
	p.more = make(chan struct{})
}

// Messages returns what a channel holds, in the order in which it was stored.
func (b *Broker) Messages(channel string) []tidings.Message {
	b.mu.Lock()
	var records []record
	for _, p := range b.channels[channel] {
		records = append(records, p.records...)
	}
	b.mu.Unlock()
	slices.SortFunc(records, func(x, y record) int { return cmp.Compare(x.order, y.order) })
	ms := make([]tidings.Message, len(records))
	for i, r := range records {
		ms[i] = clone(&r.message)
	}
	return ms
}

// PublishRaw stores a record that is not a message: it is delivered with an
// error.
func (b *Broker) PublishRaw(_ context.Context, channel string, payload []byte) error {
	if err := tidings.ValidateName("channel", channel); err != nil {
		return fmt.Errorf("publish raw record: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.store("", record{
		message: tidings.Message{Channel: channel, Payload: slices.Clone(payload)},
		err:     fmt.Errorf("record has no attributes of a message: %w", tidings.ErrInvalid),
	})
	return nil
}

// clone returns a copy that shares nothing with m.
func clone(m *tidings.Message) tidings.Message {
	c := *m
	c.Payload = slices.Clone(m.Payload)
	if m.Headers != nil {
		c.Headers = make(tidings.Headers, len(m.Headers))
		for name, value := range m.Headers {
			c.Headers[name] = value
		}
	}
	return c
}
