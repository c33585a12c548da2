// Package acks finds how far one partition has been handled: deliveries are
// acknowledged in any order, and a broker remembers one position, below which
// everything was acknowledged. It is for the adapters of package broker.
package acks

import (
	"sort"
	"sync"
)

// A Tracker watches one partition. The zero value has nothing outstanding. Its
// methods may be called from any goroutine.
type Tracker struct {
	mu sync.Mutex
	// waiting holds the positions delivered at or after the first one that is
	// not acknowledged, in order; head is the index of that one.
	waiting []delivery
	head    int
	// done is the last position that everything up to is acknowledged.
	done  uint64
	moved bool
}

type delivery struct {
	position uint64
	acked    bool
}

// Deliver notes that the message at a position is handed over. Positions grow
// from call to call; they need not be dense.
func (t *Tracker) Deliver(position uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, delivery{position: position})
}

// Ack notes that the message at a position was handled. It reports whether
// that was news: false for a position that was acknowledged before, or never
// delivered.
func (t *Tracker) Ack(position uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	open := t.waiting[t.head:]
	i := sort.Search(len(open), func(i int) bool { return open[i].position >= position })
	if i == len(open) || open[i].position != position || open[i].acked {
		return false
	}
	open[i].acked = true
	if i == 0 {
		t.advance()
	}
	return true
}

func (t *Tracker) advance() {
	for t.head < len(t.waiting) && t.waiting[t.head].acked {
		t.done, t.moved = t.waiting[t.head].position, true
		t.head++
	}
	if t.head == len(t.waiting) {
		t.waiting, t.head = t.waiting[:0], 0
		return
	}
	// Moving the rest down once half is free keeps an Ack at constant cost on
	// average and the memory within twice what is outstanding.
	if t.head > 64 && t.head > len(t.waiting)/2 {
		n := copy(t.waiting, t.waiting[t.head:])
		t.waiting, t.head = t.waiting[:n], 0
	}
}

// Position returns the last position for which it and everything delivered
// before it was acknowledged. ok is false while there is none.
func (t *Tracker) Position() (position uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done, t.moved
}

// Outstanding returns how many deliveries are not acknowledged.
func (t *Tracker) Outstanding() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, d := range t.waiting[t.head:] {
		if !d.acked {
			n++
		}
	}
	return n
}
