package inproc

import (
	"math/rand/v2"
	"sync"
)

// faults are what was ordered. The broker's mutex guards them.
type faults struct {
	planned []fault
	// failing counts, per lane, the failures that are not reported yet:
	// until they are, nothing of the lane may be stored.
	failing map[lane]int
	calls   map[*call]bool
	hold    int
	held    []report
	// restored is not nil while the broker is cut off; closed afterwards.
	restored    chan struct{}
	disturbance Disturbance
	random      *rand.Rand
}

type fault struct {
	err    error
	stored bool
}

func (f *faults) next() fault {
	if len(f.planned) == 0 {
		return fault{}
	}
	first := f.planned[0]
	f.planned = f.planned[1:]
	return first
}

// FailNext makes the next n messages that are published fail with err; they
// are not stored. Later ones of the same keys fail too until done has reported
// the failure.
func (b *Broker) FailNext(n int, err error) { b.plan(n, fault{err: err}) }

// LoseAckNext makes the next n messages that are published fail with err
// although they are stored: what a caller sees when the connection is lost
// before the acknowledgement.
func (b *Broker) LoseAckNext(n int, err error) { b.plan(n, fault{err: err, stored: true}) }

func (b *Broker) plan(n int, f fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range n {
		b.faults.planned = append(b.faults.planned, f)
	}
}

// HoldAcks keeps back the calls of done, in order, until release is called.
// The messages are stored meanwhile.
func (b *Broker) HoldAcks() (release func()) {
	b.mu.Lock()
	b.faults.hold++
	b.mu.Unlock()
	return sync.OnceFunc(func() {
		b.publishing.Lock()
		defer b.publishing.Unlock()
		b.mu.Lock()
		b.faults.hold--
		var due []report
		if b.faults.hold == 0 {
			due, b.faults.held = b.faults.held, nil
		}
		b.mu.Unlock()
		b.report(due)
	})
}

// Held returns how many calls of done are being kept back.
func (b *Broker) Held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.faults.held)
}

// Cut makes the broker unreachable until restore is called: Publish blocks,
// or fails when its context is done; subscribers lose their partitions.
func (b *Broker) Cut() (restore func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.faults.restored == nil {
		b.faults.restored = make(chan struct{})
	}
	restored := b.faults.restored
	for _, g := range b.groups {
		g.takeAll()
	}
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.faults.restored != restored {
			return
		}
		close(restored)
		b.faults.restored = nil
		for _, g := range b.groups {
			g.wake()
		}
	})
}

// Rebalance takes all partitions away from a subscriber's members and assigns
// them again: what is not acknowledged comes once more.
func (b *Broker) Rebalance(subscriber string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.groups[subscriber]; g != nil {
		g.takeAll()
	}
}

// A Disturbance says how deliveries deviate from the contract. The numbers are
// probabilities from 0 to 1.
type Disturbance struct {
	// Duplicate delivers a message again, somewhere after its first time.
	Duplicate float64
	// Reorder lets a message swap places with a later one.
	Reorder float64
	// Drop never delivers a message.
	Drop float64
	// Seed makes the choices repeatable, as far as the timing is.
	Seed uint64
}

// Disturb makes deliveries deviate from now on; the zero Disturbance ends it.
func (b *Broker) Disturb(d Disturbance) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults.disturbance = d
	b.faults.random = rand.New(rand.NewPCG(d.Seed, d.Seed))
}

// order returns the indices from 0 to n-1 in the order in which to deliver
// them. b.mu is held.
func (f *faults) order(n int) []int {
	order := make([]int, 0, n)
	for i := range n {
		if f.chance(f.disturbance.Drop) {
			continue
		}
		order = append(order, i)
	}
	for i := range order {
		if f.chance(f.disturbance.Reorder) {
			j := i + f.random.IntN(len(order)-i)
			order[i], order[j] = order[j], order[i]
		}
	}
	for i := len(order) - 1; i >= 0; i-- {
		if f.chance(f.disturbance.Duplicate) {
			at := i + 1 + f.random.IntN(len(order)-i)
			order = append(order, 0)
			copy(order[at+1:], order[at:])
			order[at] = order[i]
		}
	}
	return order
}

func (f *faults) chance(p float64) bool { return p > 0 && f.random.Float64() < p }
