package saga

import (
	"slices"
	"sync"

	"tidings.example/inbox"
)

// waiters are those in this process who wait for the end of a saga.
type waiters struct {
	mu  sync.Mutex
	all map[Ref][]chan struct{}
	// held are the sagas that have ended with a message whose transaction is not
	// committed yet, by the message's id.
	held map[string][]Ref
}

func (w *waiters) join(ref Ref) (told <-chan struct{}, leave func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[Ref][]chan struct{}{}
	}
	w.all[ref] = append(w.all[ref], c)
	return c, func() { w.leave(ref, c) }
}

func (w *waiters) leave(ref Ref, c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rest := slices.DeleteFunc(w.all[ref], func(other chan struct{}) bool { return other == c })
	if w.all[ref] = rest; len(rest) == 0 {
		delete(w.all, ref)
	}
}

// tell has those look who wait for one of the sagas.
func (w *waiters) tell(ended []Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ref := range ended {
		for _, c := range w.all[ref] {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
}

// maxHeld bounds what is held.
const maxHeld = 10_000

// hold keeps what has ended with a message until that is committed.
func (w *waiters) hold(message string, ended []Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(ended) == 0 {
		delete(w.held, message)
		return
	}
	// Where nobody tells of commits, those who wait find out by themselves.
	if w.held == nil || len(w.held) >= maxHeld {
		w.held = map[string][]Ref{}
	}
	w.held[message] = ended
}

func (w *waiters) release(message string) []Ref {
	w.mu.Lock()
	defer w.mu.Unlock()
	ended := w.held[message]
	delete(w.held, message)
	return ended
}

// committed hears from the inbox when a message's transaction is committed.
type committed struct {
	observer inbox.Observer
	waiters  *waiters
}

// Done implements inbox.Observer.
func (c *committed) Done(d inbox.Done) {
	c.waiters.tell(c.waiters.release(d.ID))
	if c.observer != nil {
		c.observer.Done(d)
	}
}

// Failed implements inbox.Observer.
func (c *committed) Failed(f inbox.Failed) {
	if c.observer != nil {
		c.observer.Failed(f)
	}
}
