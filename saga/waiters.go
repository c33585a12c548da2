package saga

import (
	"slices"
	"sync"
)

// waiters are those in this process who wait for the end of a saga.
type waiters struct {
	mu  sync.Mutex
	all map[Ref][]chan struct{}
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
