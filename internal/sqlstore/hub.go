package sqlstore

import (
	"sync"
	"sync/atomic"
)

// A Hub tells the relay sessions of this process that rows were appended to an
// outbox by this process. It costs an appender one atomic load while no relay
// runs here.
type Hub struct {
	listeners atomic.Int32
	mu        sync.Mutex
	channels  map[chan struct{}]struct{}
}

// Notify wakes all listeners. It never blocks.
func (h *Hub) Notify() {
	if h.listeners.Load() == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.channels {
		select {
		case c <- struct{}{}:
		default: // it has not taken up the last one yet
		}
	}
}

// Listen returns a channel that receives after each Notify, several of them
// perhaps joined to one, until stop is called.
func (h *Hub) Listen() (c <-chan struct{}, stop func()) {
	signal := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.channels == nil {
		h.channels = map[chan struct{}]struct{}{}
	}
	h.channels[signal] = struct{}{}
	h.listeners.Store(int32(len(h.channels)))
	return signal, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.channels, signal)
		h.listeners.Store(int32(len(h.channels)))
	}
}
