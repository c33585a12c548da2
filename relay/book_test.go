package relay

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"tidings.example"
)

// book is an outbox with the rules of a real one: positions before commits, a
// lease with a fence, changes that take effect whole or not at all.
type book struct {
	mu       sync.Mutex
	rows     map[int64]Row
	aside    map[int64]Row
	held     map[HeldKey]bool // and whether a retry was asked for
	next     int64
	signal   chan struct{}
	identity string

	fence    int64
	holder   string
	expires  time.Time
	epoch    Epoch
	counters map[string][]byte
	plans    []Plan

	bookLog // what the database's log has

	reasons []string // of the epochs that were opened
	swept   []Range  // of the last query without an After
	wrong   []error  // what a relay must never ask for
}

func newBook() *book {
	return &book{rows: map[int64]Row{}, aside: map[int64]Row{}, held: map[HeldKey]bool{},
		signal: make(chan struct{}, 1), identity: "db-1", counters: map[string][]byte{}, bookLog: newBookLog()}
}

// position hands out the next position, as an insert does before its commit.
func (b *book) position() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	b.open[b.next] = true
	return b.next
}

func (b *book) commit(rows ...Row) {
	b.mu.Lock()
	for _, r := range rows {
		b.rows[r.Position] = r
		delete(b.open, r.Position)
	}
	b.write(rows...)
	b.mu.Unlock()
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// append commits one message.
func (b *book) append(id, key string) {
	position := b.position()
	b.commit(Row{Position: position, Message: message(id, key)})
}

func message(id, key string) tidings.Message {
	return tidings.Message{ID: id, Channel: "orders", Key: key, Type: "OrderCreated",
		Time: time.Now(), ContentType: "application/json", Payload: []byte("{}")}
}

func (b *book) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.rows) == 0
}

// nothingAside tells whether no row is set aside and no key held.
func (b *book) nothingAside() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.aside) == 0 && len(b.held) == 0
}

// steal gives the lease to somebody else.
func (b *book) steal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holder, b.expires, b.fence = "another", time.Now().Add(time.Hour), b.fence+1
}

// repair does what an operator does with set-aside rows: it changes them, and
// asks for another try of their keys.
func (b *book) repair(change func(m *tidings.Message)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for p, r := range b.aside {
		change(&r.Message)
		b.aside[p] = r
	}
	for key := range b.held {
		b.held[key] = true
	}
}

func (b *book) holds() []HeldKey {
	var all []HeldKey
	for key, retry := range b.held {
		key.Retry = retry
		all = append(all, key)
	}
	return all
}

// answer is what a query finds in a table with rows at positions, which are in
// order.
func answer(q Query, positions []int64, row func(p int64) Row) (rows []Row) {
	inRanges, above, bytes := 0, 0, 0
	for _, p := range positions {
		in := func(r Range) bool { return r.First <= p && p <= r.Last }
		switch {
		case slices.ContainsFunc(q.Ranges, in):
			if inRanges++; q.RangeLimit == 0 || inRanges <= q.RangeLimit {
				rows = append(rows, row(p))
			}
		case p > q.After && above < q.Limit && (bytes == 0 || bytes < q.Bytes):
			above++
			r := row(p)
			bytes += len(r.Message.Payload)
			rows = append(rows, r)
		}
	}
	return rows
}

func (b *book) apply(c Change) error {
	if err := b.allows(c); err != nil {
		b.wrong = append(b.wrong, err)
		return err
	}
	if c.Epoch != nil {
		b.epoch, b.plans = *c.Epoch, nil
		clear(b.counters)
		b.reasons = append(b.reasons, c.Epoch.Reason)
	}
	for _, p := range c.Done {
		delete(b.rows, p)
	}
	b.plans = slices.DeleteFunc(b.plans, func(p Plan) bool { return slices.Contains(c.DonePlans, p.ID) })
	maps.Copy(b.counters, c.Counters)
	for _, s := range c.SetAside {
		b.moveAside(s)
		// A request to retry the key stays.
		key := HeldKey{Channel: s.Key.Channel, Key: s.Key.Key}
		if _, there := b.held[key]; !there {
			b.held[key] = false
		}
	}
	for _, key := range c.Return {
		for p, r := range b.aside {
			if r.Message.Channel == key.Channel && r.Message.Key == key.Key {
				b.rows[p] = r
				delete(b.aside, p)
			}
		}
		delete(b.held, key)
	}
	b.applyLog(c)
	if c.Plan != nil {
		b.plans = append(b.plans, *c.Plan)
	}
	return nil
}

func (b *book) allows(c Change) error {
	if len(c.Return) > 0 && len(c.SetAside) > 0 {
		return errors.New("rows are set aside and returned in one change")
	}
	if n := len(b.plans); n > 0 && c.Plan != nil && b.plans[n-1].ID >= c.Plan.ID {
		return fmt.Errorf("plan %d follows plan %d", c.Plan.ID, b.plans[n-1].ID)
	}
	for _, p := range c.Done {
		if _, there := b.rows[p]; !there {
			return fmt.Errorf("row %d is removed twice", p)
		}
	}
	for _, s := range c.SetAside {
		if _, there := b.rows[s.Position]; !there && s.Row == nil {
			return fmt.Errorf("row %d is set aside and not there", s.Position)
		}
		if _, there := b.aside[s.Position]; there {
			return fmt.Errorf("row %d is set aside twice", s.Position)
		}
	}
	return b.allowsLog(c)
}
